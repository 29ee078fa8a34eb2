//! Who awaits whom, looked up by number.

use std::collections::HashMap;

use asyncio_executor::Awaited;

use crate::report::{ProcessReport, TaskReport};

/// The living tasks of a process and the edges between them; of what has ended nothing is left.
pub(crate) struct Links<'a> {
    tasks: HashMap<u64, &'a TaskReport>,
    awaited_by: HashMap<u64, Vec<(&'a str, &'a TaskReport)>>,
}

impl<'a> Links<'a> {
    pub(crate) fn of(report: &'a ProcessReport) -> Links<'a> {
        let all = || report.loops.iter().flat_map(|report| &report.tasks);
        let mut links = Links {
            tasks: all().map(|task| (task.id, task)).collect(),
            awaited_by: HashMap::new(),
        };
        for task in all() {
            for (label, awaited) in links.awaited(task) {
                let awaiters = links.awaited_by.entry(awaited.id).or_default();
                // A group's child that is also awaited: the first reason will do.
                if awaiters.iter().all(|(_, awaiter)| awaiter.id != task.id) {
                    awaiters.push((label, task));
                }
            }
        }
        links
    }

    /// The tasks that a task awaits, each once, with the reason.
    pub(crate) fn awaited(&self, task: &'a TaskReport) -> Vec<(&'a str, &'a TaskReport)> {
        let mut found: Vec<(&str, &TaskReport)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for edge in &task.awaits {
            for awaited in &edge.on {
                if let Awaited::Task(id) = awaited
                    && let Some(awaited) = self.tasks.get(id)
                    && seen.insert(*id)
                {
                    found.push((&*edge.label, *awaited));
                }
            }
        }
        found
    }

    /// The tasks that await a task, with the reason.
    pub(crate) fn awaited_by(&self, task: &TaskReport) -> &[(&'a str, &'a TaskReport)] {
        self.awaited_by
            .get(&task.id)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

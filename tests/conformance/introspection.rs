//! Who awaits whom: S248 to S250.

use std::cell::RefCell;
use std::fs;
use std::future::pending;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use asyncio::graph::{CallGraphOptions, FutureCallGraph};
use asyncio::tools::{
    LoopReport, LoopState, Occupation, ProcessReport, TaskReport, ThreadReport, ThreadState,
    build_async_tree, build_task_table, format_async_tree, format_task_table, get_all_awaited_by,
    get_all_stacks,
};
use asyncio::{
    AwaitNode, Awaited, Future as Promise, NoRunningLoop, Task, TaskGroup, capture_call_graph,
    create_task, current_task, format_call_graph, future_add_to_awaited_by,
    future_discard_from_awaited_by, gather, get_running_loop, print_call_graph, shield, sleep,
    wait,
};

use crate::harness::{Trace, run, settle};
use crate::layering::workspace;

fn everything() -> CallGraphOptions {
    CallGraphOptions::new()
}

/// The graph of one task or promise.
fn graph(of: &dyn AwaitNode) -> FutureCallGraph {
    capture_call_graph(Some(of), &everything())
        .unwrap()
        .unwrap()
}

/// Who awaits it, by name and by what.
fn awaiters(of: &dyn AwaitNode) -> Vec<String> {
    let awaited_by = graph(of).awaited_by;
    let told = awaited_by.iter().map(|awaiter| {
        let name = &awaiter.task.as_ref().unwrap().name;
        let labels: Vec<_> = awaiter.call_stack.iter().map(|entry| entry.label).collect();
        format!("{name}: {}", labels.join(", "))
    });
    told.collect()
}

fn forever(name: &str) -> Task<()> {
    create_task(pending()).name(name)
}

#[test]
fn a_task_that_awaits_a_task_is_its_awaiter_by_value_and_by_reference() {
    // S248
    run(async {
        let inner = forever("inner");
        let node = inner.await_node();
        let outer = create_task(async move {
            let _ = inner.await;
        })
        .name("outer");
        let top = create_task(async move {
            let mut outer = outer;
            let _ = (&mut outer).await;
        })
        .name("top");
        settle(2).await;
        let graph = graph(&Known(node));
        assert_eq!(graph.task.unwrap().name, "inner");
        assert_eq!(awaiters(&Known(node)), ["outer: task, spawned"]);
        let above = &graph.awaited_by[0].awaited_by;
        assert_eq!(above[0].task.as_ref().unwrap().name, "top");
        assert!(above[0].awaited_by.is_empty());
        top.cancel();
    });
}

/// A node whose handle is somebody else's by now.
struct Known(Awaited);

impl AwaitNode for Known {
    fn await_node(&self) -> Awaited {
        self.0
    }
}

#[test]
fn children_of_gather_wait_a_group_and_a_shield_are_awaited_by_the_caller() {
    // S248
    run(async {
        let (a, b, c, d) = (forever("a"), forever("b"), forever("c"), forever("d"));
        let nodes = [&a, &b, &c, &d].map(|task| Known(task.await_node()));
        let gathers = create_task(async move {
            gather((a, async {})).await;
        })
        .name("gathers");
        let waits = create_task(async move {
            wait([&b, &c]).await;
        })
        .name("waits");
        let shields = create_task(async move {
            let _ = shield(d).await;
        })
        .name("shields");
        let child = Rc::new(RefCell::new(None));
        let slot = child.clone();
        let groups = create_task(async move {
            let _ = TaskGroup::<()>::scope(async |group| {
                let child = group.spawn(pending::<()>());
                *slot.borrow_mut() = Some(Known(child.await_node()));
                sleep(1000).await; // not awaited by itself: the group is what waits
                Ok(())
            })
            .await;
        })
        .name("groups");
        settle(3).await;
        let found = nodes.iter().map(|node| awaiters(node).join("; "));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                "gathers: gather, spawned",
                "waits: wait, spawned",
                "waits: wait, spawned",
                "shields: shield, spawned"
            ]
        );
        assert_eq!(
            awaiters(child.borrow().as_ref().unwrap()),
            ["groups: TaskGroup, spawned"]
        );
        for task in [gathers, waits, shields, groups] {
            task.cancel();
        }
    });
}

#[test]
fn everybody_who_awaits_a_future_is_its_awaiter_and_nobody_when_it_is_done() {
    // S248
    run(async {
        let future = Promise::<()>::new();
        let waiters = ["a", "b"].map(|name| {
            let future = future.clone();
            create_task(async move {
                future.await.unwrap();
                sleep(0).await;
                sleep(0).await;
            })
            .name(name)
        });
        settle(1).await;
        let expected = ["a: Future, spawned", "b: Future, spawned"];
        assert_eq!(awaiters(&future), expected);
        future.set_result(()).unwrap();
        settle(1).await;
        assert_eq!(awaiters(&future), [""; 0]); // removed on wake-up
        gather(waiters).await;
    });
}

#[test]
fn what_a_shield_or_a_wait_leaves_behind_is_nothing() {
    // S248: the edges go when the wait does, also when it is cancelled.
    run(async {
        let mut kept = forever("kept");
        let node = Known(kept.await_node());
        for _ in 0..3 {
            let limit = asyncio::wait_for(shield(&mut kept), 1).await;
            assert!(limit.is_err());
            assert_eq!(awaiters(&node), [""; 0]);
            wait([&kept]).timeout(1).await;
            assert_eq!(awaiters(&node), [""; 0]);
            assert!(asyncio::timeout(1, &mut kept).await.is_err());
            assert_eq!(awaiters(&node), [""; 0]);
        }
        assert!(current_task().unwrap().awaits().is_empty());
    });
}

#[test]
fn an_awaitable_of_ones_own_can_say_for_whom_its_task_waits() {
    // S248: `future_add_to_awaited_by`, a set there: twice is once.
    run(async {
        let promise = Promise::<()>::new();
        let worker = forever("worker");
        let waiter = create_task(sleep(5)).name("waiter");
        let waiter_ref = waiter.as_ref().unwrap();
        for _ in 0..2 {
            future_add_to_awaited_by(&promise, &waiter_ref);
            future_add_to_awaited_by(&worker, &waiter_ref);
        }
        settle(1).await;
        assert_eq!(
            awaiters(&promise),
            ["waiter: awaitable, awaitable, spawned"]
        );
        assert_eq!(awaiters(&worker), ["waiter: awaitable, awaitable, spawned"]);
        future_discard_from_awaited_by(&promise, &waiter_ref);
        future_discard_from_awaited_by(&promise, &waiter_ref);
        assert_eq!(awaiters(&promise), [""; 0]);
        assert_eq!(awaiters(&worker), ["waiter: awaitable, spawned"]);
        // A request does not go along it, and the edge does not outlive the waiter.
        waiter.cancel();
        assert!(waiter.await.is_err());
        assert_eq!(awaiters(&worker), [""; 0]);
        assert_eq!(worker.cancelling(), 0);
        future_add_to_awaited_by(&worker, &waiter_ref);
        assert_eq!(awaiters(&worker), [""; 0]);
        // What is really awaited is not taken away by hand.
        let node = Known(worker.await_node());
        let awaits = create_task(async { drop(worker.await) }).name("awaits");
        settle(1).await;
        future_discard_from_awaited_by(&node, &awaits.as_ref().unwrap());
        assert_eq!(awaiters(&node), ["awaits: task, spawned"]);
        awaits.cancel();
    });
}

#[test]
fn a_lock_a_sleep_and_a_socket_show_no_edge() {
    // S249: R! only the place where the task was spawned is known then.
    run(async {
        let sleeper = create_task(sleep(1)).name("sleeper");
        settle(1).await;
        let graph = graph(&sleeper);
        assert_eq!(graph.call_stack.len(), 1);
        assert_eq!(graph.call_stack[0].location.unwrap().file(), file!());
        sleeper.await.unwrap();
    });
}

#[test]
fn without_a_future_and_a_running_loop_it_is_an_error() {
    // S249
    assert_eq!(capture_call_graph(None, &everything()), Err(NoRunningLoop));
    assert_eq!(format_call_graph(None, &everything()), Err(NoRunningLoop));
    let error = print_call_graph(None, &everything(), std::io::sink()).unwrap_err();
    assert!(
        error.to_string().starts_with("no running event loop"),
        "{error}"
    );
}

#[test]
fn in_a_plain_callback_there_is_none_and_its_text_is_empty() {
    // S249
    run(async {
        let trace = Trace::default();
        let log = trace.clone();
        get_running_loop().call_soon(move || {
            let graph = capture_call_graph(None, &everything()).unwrap();
            let text = format_call_graph(None, &everything()).unwrap();
            log.log(format!("{:?} {text:?}", graph.is_none()));
        });
        settle(1).await;
        assert_eq!(trace, ["true \"\""]);
        assert!(capture_call_graph(None, &everything()).unwrap().is_some());
    });
}

#[test]
fn limit_0_drops_the_call_stacks_and_keeps_who_awaits() {
    // S249
    run(async {
        let inner = forever("inner");
        let node = Known(inner.await_node());
        let outer = create_task(async move {
            let _ = gather((inner,)).await;
        })
        .name("outer");
        settle(1).await;
        let stacks = |limit| {
            let options = everything().limit(limit);
            let graph = capture_call_graph(Some(&node), &options).unwrap().unwrap();
            (
                graph.call_stack.len(),
                graph.awaited_by[0].call_stack.len(),
                graph.awaited_by.len(),
            )
        };
        assert_eq!(stacks(0), (0, 0, 1));
        assert_eq!(stacks(1), (1, 1, 1));
        assert_eq!(stacks(9), (1, 2, 1));
        let skipped = capture_call_graph(Some(&outer), &everything().depth(1));
        let stack = skipped.unwrap().unwrap().call_stack;
        assert_eq!((stack.len(), stack[0].label), (1, "spawned"));
        outer.cancel();
    });
}

#[test]
fn the_text_names_tasks_places_and_awaiters() {
    // S249
    run(async {
        let inner = forever("inner");
        let node = Known(inner.await_node());
        let line = line!() + 1;
        let outer = create_task(async move {
            let _ = gather((inner,)).await;
        })
        .name("outer");
        settle(1).await;
        let (file, id) = (file!(), outer.id());
        let text = format_call_graph(Some(&node), &everything()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[3..],
            [
                "  + Awaited by:".to_owned(),
                format!("    * Task(name='outer', id={id})"),
                "      + Call stack:".to_owned(),
                "      |   gather".to_owned(),
                format!("      |   spawned at {file}:{line}:21"),
            ]
        );
        let mut out = Vec::new();
        print_call_graph(Some(&node), &everything(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{text}\n"));
        outer.cancel();
    });
}

/// Two tasks that await each other: each handle is put where the other one finds it.
fn a_circle() -> [Known; 2] {
    type Slot = Rc<RefCell<Option<Task<()>>>>;
    let slots: [Slot; 2] = Default::default();
    let awaits = |slot: &Slot| {
        let slot = slot.clone();
        async move {
            let task = slot.borrow_mut().take().unwrap();
            let _ = task.await;
        }
    };
    let a = create_task(awaits(&slots[1])).name("a");
    let b = create_task(awaits(&slots[0])).name("b");
    let nodes = [Known(a.await_node()), Known(b.await_node())];
    *slots[0].borrow_mut() = Some(a);
    *slots[1].borrow_mut() = Some(b);
    nodes
}

#[test]
fn a_circle_of_tasks_is_told_of_once_around() {
    // S249
    run(async {
        let [a, _b] = a_circle();
        settle(1).await;
        let graph = graph(&a);
        assert_eq!(graph.awaited_by[0].task.as_ref().unwrap().name, "b");
        let around = &graph.awaited_by[0].awaited_by[0];
        assert_eq!(around.task.as_ref().unwrap().name, "a");
        assert!(around.awaited_by.is_empty());
    });
}

#[test]
fn a_long_chain_of_awaiters_is_cut_and_not_a_stack_overflow() {
    // S249
    run(async {
        let first = forever("first");
        let node = Known(first.await_node());
        let mut last = first;
        for _ in 0..10_000 {
            last = create_task(async {
                let _ = last.await;
            });
        }
        settle(1).await;
        let mut depth = 0;
        let mut graph = &graph(&node);
        while let Some(awaiter) = graph.awaited_by.first() {
            graph = awaiter;
            depth += 1;
        }
        assert!((100..1000).contains(&depth), "{depth}");
        last.cancel();
    });
}

fn by_hand(tasks: Vec<TaskReport>) -> ProcessReport {
    let thread = ThreadReport::new("main", 7);
    ProcessReport::new(7, vec![LoopReport::new(thread, tasks)])
}

fn task(id: u64, name: &str) -> TaskReport {
    TaskReport::new(id, name, "main.rs:1:2")
}

#[test]
fn ps_lists_every_task_by_id_with_what_it_waits_for_and_who_waits_for_it() {
    // S250
    let report = by_hand(vec![
        task(1, "main").awaiting("TaskGroup", [2, 3].map(Awaited::Task)),
        task(2, "reader").awaiting("Future", [Awaited::Future(99)]),
        task(3, "writer").awaiting("task", [Awaited::Task(4711)]),
    ]);
    let table = build_task_table(&report);
    let rows = table.iter().map(|row| {
        let (waits_for, awaited_by) = (row.waits_for.join(" "), row.awaited_by.join(" "));
        format!("{} {} | {waits_for} | {awaited_by}", row.id, row.name)
    });
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            "1 main | TaskGroup: reader [2] TaskGroup: writer [3] | ",
            "2 reader | Future | main [1]",
            "3 writer |  | main [1]", // what it waits for has ended
        ]
    );
    assert_eq!(
        format_task_table(&report),
        "\
thread 7 (main): the loop turns
id  name    state    waits for                                     awaited by  spawned at
1   main    waiting  TaskGroup: reader [2], TaskGroup: writer [3]  -           main.rs:1:2
2   reader  waiting  Future                                        main [1]    main.rs:1:2
3   writer  waiting  -                                             main [1]    main.rs:1:2
"
    );
}

#[test]
fn pstree_shows_each_task_below_the_one_that_waits_for_it() {
    // S250
    let report = by_hand(vec![
        task(1, "main").awaiting("TaskGroup", [2, 3].map(Awaited::Task)),
        task(2, "reader").awaiting("Future", [Awaited::Future(99)]),
        task(3, "writer").awaiting("shield", [Awaited::Task(4)]),
        task(4, "flush"),
        task(5, "lonely").awaiting("wait", [Awaited::Task(4)]),
    ]);
    let trees = build_async_tree(&report).unwrap();
    assert_eq!(
        format_async_tree(&trees[0]),
        "\
thread 7 (main): the loop turns
├── main [1] waiting, spawned at main.rs:1:2
│   ├── TaskGroup: reader [2] waiting, spawned at main.rs:1:2
│   │   └── Future
│   └── TaskGroup: writer [3] waiting, spawned at main.rs:1:2
│       └── shield: flush [4] waiting, spawned at main.rs:1:2
└── lonely [5] waiting, spawned at main.rs:1:2
    └── wait: flush [4], see above
"
    );
}

#[test]
fn a_circle_is_an_error_of_the_tree_that_names_it_and_a_table_all_the_same() {
    // S250
    let edge = |id, name, on: &[u64]| {
        task(id, name).awaiting("task", on.iter().copied().map(Awaited::Task))
    };
    let report = by_hand(vec![
        edge(1, "main", &[2]),
        edge(2, "a", &[3]),
        edge(3, "b", &[4, 5]),
        edge(4, "c", &[2]),
        edge(5, "self", &[5]),
    ]);
    let error = build_async_tree(&report).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tasks wait for each other in a circle, so none of them can go on until one is cancelled:
  a [2] → b [3] → c [4] → a [2]
  self [5] → self [5]"
    );
    assert_eq!(build_task_table(&report).len(), 5);
}

#[test]
fn a_chain_as_long_as_one_likes_has_a_tree() {
    // S250
    let chain = (1..50_000).map(|id| task(id, "").awaiting("task", [Awaited::Task(id + 1)]));
    let trees = build_async_tree(&by_hand(chain.collect())).unwrap();
    let text = format_async_tree(&trees[0]);
    assert!(text.ends_with("task: …\n"), "cut, and said so");
    assert!(text.len() < 1 << 20);
}

#[test]
fn text_of_another_process_cannot_drive_the_terminal() {
    // S250
    let report = by_hand(vec![task(1, "\u{1b}[2J\rgone")]);
    let tree = format_async_tree(&build_async_tree(&report).unwrap()[0]);
    for text in [tree, format_task_table(&report)] {
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    }
}

/// A process of `src/bin/hang.rs` that hangs in the given way, until this is dropped.
struct Hung {
    child: Child,
}

impl Hung {
    fn new(how: &str) -> Hung {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hang"))
            .arg(how)
            .env("ASYNCIO_INSPECT", "1")
            .current_dir(workspace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Hung { child }
    }

    fn report(&self) -> ProcessReport {
        let report = get_all_stacks(self.child.id()).unwrap();
        assert_eq!(report.pid, self.child.id());
        assert_eq!(report.loops.len(), 1);
        assert_eq!(report.loops[0].thread.name, "main");
        report
    }

    /// What `asyncio pstree --stacks` prints, but for the numbers of the thread.
    fn tree(&self) -> String {
        let trees = build_async_tree(&self.report()).unwrap();
        let text = format_async_tree(&trees[0]);
        text.replacen(&self.child.id().to_string(), "4711", 1)
    }

    /// What keeps the loop from turning, and what its thread does meanwhile.
    fn stuck_in(&self) -> (Occupation, ThreadState) {
        let mut report = self.report();
        match report.loops.remove(0).state {
            LoopState::Stuck { inside, doing, .. } => (inside, doing),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_whose_tasks_await_each_other_tells_of_the_circle() {
    // S250
    let report = Hung::new("circle").report();
    let error = build_async_tree(&report).unwrap_err();
    let names: Vec<&str> = error.cycles[0].iter().map(|(_, name)| &**name).collect();
    assert_eq!(names, ["hen", "egg"]);
    let table = build_task_table(&report);
    assert_eq!(table.len(), 3);
    assert_eq!(
        table[1].awaited_by,
        table[1]
            .waits_for
            .iter()
            .map(|task| task.replace("task: ", ""))
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_process_that_hangs_on_two_locks_tells_which_and_where_and_the_readme_shows_it() {
    // S250
    let tree = Hung::new("locks").tree();
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let shown = readme
        .split("```text\n")
        .find_map(|part| {
            part.starts_with("thread ")
                .then(|| part.split("```").next())
        })
        .flatten();
    assert_eq!(
        shown,
        Some(&*tree),
        "the section of the README that begins with `thread `"
    );
    let source = fs::read_to_string(workspace().join("tests/src/bin/hang.rs")).unwrap();
    let transfer = source.find("async fn transfer").unwrap();
    let program = source[transfer..].split("\n}\n").next().unwrap();
    assert!(
        readme.contains(program),
        "the program of that section is that of hang.rs"
    );
}

#[test]
fn a_process_that_computes_without_awaiting_tells_in_which_task() {
    // S250
    let (inside, doing) = Hung::new("busy").stuck_in();
    assert!(matches!(inside, Occupation::Task { name, .. } if name == "busy"));
    assert_eq!(doing, ThreadState::Busy);
}

#[test]
fn a_process_that_sits_in_a_blocking_call_tells_in_which_task() {
    // S250
    let hung = Hung::new("blocked");
    let (inside, doing) = hung.stuck_in();
    assert!(matches!(inside, Occupation::Task { name, .. } if name == "blocked"));
    assert_eq!(doing, ThreadState::Blocked);
    // It says so in words, with what to do.
    let text = format_task_table(&hung.report());
    assert!(
        text.contains("which sits in a call that blocks: await instead"),
        "{text}"
    );
}

#[test]
fn a_process_without_an_endpoint_is_an_error_that_says_how_to_get_one() {
    // S250
    let mut plain = Command::new(env!("CARGO_BIN_EXE_hang"))
        .arg("locks")
        .env_remove("ASYNCIO_INSPECT")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(plain.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let error = get_all_awaited_by(plain.id()).unwrap_err();
    plain.kill().unwrap();
    plain.wait().unwrap();
    assert!(
        error
            .to_string()
            .contains("start it with ASYNCIO_INSPECT=1"),
        "{error}"
    );
}

//! Answers that are used again, and lookups that are shared.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use asyncio_executor::{Task, spawn};
use asyncio_timers::{IntoDuration, LoopTime, Timers};

use super::{Answer, Hints, Lookup, Resolve};
use crate::changes::Changes;

/// Remembers what another resolver said, and asks it only once when several tasks want to know the same at once.
///
/// - An answer is kept for the time the other resolver gives it, and for [`ttl`](CachingResolver::ttl) if it gives none, as the
///   system does not. That a name has no address is kept for [`negative_ttl`](CachingResolver::negative_ttl). Other errors are
///   not kept.
/// - A lookup goes on as long as one task waits for it: cancelling one of them does not disturb the others, cancelling all
///   ends it.
/// - Time is the loop's: under a virtual clock entries age virtually.
///
/// It is for one loop; a clone shares the cache.
///
/// ```
/// use asyncio_net::resolve::{CachingResolver, Hints, Resolve, SystemResolver};
///
/// asyncio_runtime::run(async {
///     let resolver = CachingResolver::new(SystemResolver::new()).ttl(30).capacity(1000);
///     let first = resolver.lookup("localhost", Hints::new()).await?;
///     assert_eq!(resolver.lookup("localhost", Hints::new()).await?, first);
///     assert_eq!(resolver.len(), 1);
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct CachingResolver {
    cache: Rc<Cache>,
    rules: Rules,
}

#[derive(Clone, Copy, Debug)]
struct Rules {
    ttl: Duration,
    negative_ttl: Duration,
    capacity: usize,
}

impl CachingResolver {
    /// A cache around a resolver: 256 entries, 10 seconds for answers without a time of their own, 1 for names that do not exist.
    pub fn new(resolver: impl Resolve + 'static) -> CachingResolver {
        CachingResolver {
            cache: Rc::new(Cache {
                resolver: Box::new(resolver),
                entries: RefCell::default(),
                under_way: RefCell::default(),
            }),
            rules: Rules {
                ttl: Duration::from_secs(10),
                negative_ttl: Duration::from_secs(1),
                capacity: 256,
            },
        }
    }

    /// For how long an answer that has no time of its own is kept; 0 for not at all.
    ///
    /// # Panics
    /// For NaN.
    #[track_caller]
    pub fn ttl(mut self, ttl: impl IntoDuration) -> CachingResolver {
        self.rules.ttl = ttl.into_duration();
        self
    }

    /// For how long it is kept that a name has no address; 0 for not at all.
    ///
    /// # Panics
    /// For NaN.
    #[track_caller]
    pub fn negative_ttl(mut self, ttl: impl IntoDuration) -> CachingResolver {
        self.rules.negative_ttl = ttl.into_duration();
        self
    }

    /// How many names are kept. When there are more, the one whose time is up first goes.
    pub fn capacity(mut self, entries: usize) -> CachingResolver {
        self.rules.capacity = entries;
        self
    }

    /// How many names are kept now, among them some whose time may be up.
    pub fn len(&self) -> usize {
        self.cache.entries.borrow().len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets everything, as after a change of networks. Of a lookup that is under way only those hear who wait for it already.
    ///
    /// ```
    /// # use asyncio_net::resolve::{CachingResolver, SystemResolver};
    /// let resolver = CachingResolver::new(SystemResolver::new());
    /// resolver.clear();
    /// assert!(resolver.is_empty());
    /// ```
    pub fn clear(&self) {
        self.cache.entries.borrow_mut().clear();
        self.cache.under_way.borrow_mut().clear();
    }
}

impl fmt::Debug for CachingResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingResolver")
            .field("rules", &self.rules)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl Resolve for CachingResolver {
    fn lookup(&self, host: &str, hints: Hints) -> Lookup {
        // Names do not differ by case.
        let question = Question {
            host: host.to_ascii_lowercase(),
            hints,
        };
        let (cache, rules) = (self.cache.clone(), self.rules);
        Box::pin(async move {
            if let Some(outcome) = cache.fresh(&question) {
                return outcome.map_err(Failure::into_error);
            }
            let joint = cache.join(question, rules);
            let outcome = joint.changes.until(|| joint.outcome.borrow().clone());
            outcome.await.map_err(Failure::into_error)
        })
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    host: String,
    hints: Hints,
}

type Outcome = Result<Answer, Failure>;

/// An error that can be given to many.
#[derive(Clone)]
struct Failure {
    kind: io::ErrorKind,
    text: Rc<str>,
}

impl Failure {
    fn new(error: &io::Error) -> Failure {
        Failure {
            kind: error.kind(),
            text: error.to_string().into(),
        }
    }

    fn into_error(self) -> io::Error {
        io::Error::new(self.kind, &*self.text)
    }
}

struct Cache {
    resolver: Box<dyn Resolve>,
    entries: RefCell<HashMap<Question, (LoopTime, Outcome)>>,
    under_way: RefCell<HashMap<Question, Weak<Joint>>>,
}

impl Cache {
    fn fresh(&self, question: &Question) -> Option<Outcome> {
        let now = Timers::try_current()?.now();
        let mut entries = self.entries.borrow_mut();
        match entries.get(question) {
            Some((until, outcome)) if now < *until => Some(outcome.clone()),
            Some(_) => {
                entries.remove(question);
                None
            }
            None => None,
        }
    }

    /// The lookup of this question that is under way, or a new one.
    fn join(self: &Rc<Self>, question: Question, rules: Rules) -> Rc<Joint> {
        let under_way = self.under_way.borrow().get(&question).cloned();
        if let Some(joint) = under_way.and_then(|joint| joint.upgrade()) {
            return joint;
        }
        let joint = Rc::new(Joint {
            cache: self.clone(),
            question: question.clone(),
            outcome: RefCell::new(None),
            changes: Changes::default(),
            task: RefCell::new(None),
        });
        self.under_way
            .borrow_mut()
            .insert(question.clone(), Rc::downgrade(&joint));
        let lookup = self.resolver.lookup(&question.host, question.hints);
        let end = End(Rc::downgrade(&joint));
        let asking = spawn(async move {
            let outcome = lookup.await;
            end.come(outcome, rules);
        });
        joint.task.replace(Some(asking.name("resolve")));
        joint
    }

    fn keep(&self, question: &Question, outcome: &Outcome, rules: Rules) {
        let ttl = match outcome {
            Ok(answer) => answer.ttl.unwrap_or(rules.ttl),
            Err(failure) if failure.kind == io::ErrorKind::NotFound => rules.negative_ttl,
            Err(_) => return,
        };
        let Some(timers) = Timers::try_current() else {
            return;
        };
        if ttl.is_zero() || rules.capacity == 0 {
            return;
        }
        let now = timers.now();
        let mut entries = self.entries.borrow_mut();
        if entries.len() >= rules.capacity {
            entries.retain(|_, (until, _)| now < *until);
        }
        while entries.len() >= rules.capacity {
            let first = entries.iter().min_by_key(|(_, (until, _))| *until);
            let Some(question) = first.map(|(question, _)| question.clone()) else {
                break;
            };
            entries.remove(&question);
        }
        entries.insert(question.clone(), (now + ttl, outcome.clone()));
    }
}

/// One lookup, for all who wait for it. Whoever waits owns it; with the last of them it ends.
struct Joint {
    cache: Rc<Cache>,
    question: Question,
    outcome: RefCell<Option<Outcome>>,
    changes: Changes,
    /// A task, so that the lookup depends on none of those who wait; what it awaits may be anything.
    task: RefCell<Option<Task<()>>>,
}

impl Joint {
    fn end(&self, outcome: Outcome) {
        self.outcome.borrow_mut().get_or_insert(outcome);
        self.leave();
        self.changes.announce();
    }

    /// Whether it is this one that who asks now joins.
    fn is_under_way(&self) -> bool {
        let under_way = self.cache.under_way.borrow();
        let joint = under_way.get(&self.question);
        joint.is_some_and(|joint| std::ptr::eq(joint.as_ptr(), self))
    }

    /// Who asks from now on asks anew.
    fn leave(&self) {
        if self.is_under_way() {
            self.cache.under_way.borrow_mut().remove(&self.question);
        }
    }
}

impl Drop for Joint {
    fn drop(&mut self) {
        self.leave();
        if let Some(task) = self.task.take() {
            // Nothing, where it has ended.
            task.cancel();
        }
    }
}

/// The end of a lookup's task, whichever way that comes.
struct End(Weak<Joint>);

impl End {
    fn come(self, outcome: io::Result<Answer>, rules: Rules) {
        if let Some(joint) = self.0.upgrade() {
            let outcome = outcome.map_err(|error| Failure::new(&error));
            // Not if the cache has been cleared since it was asked.
            if joint.is_under_way() {
                joint.cache.keep(&joint.question, &outcome, rules);
            }
            joint.end(outcome);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // Cancelled by somebody else, or the resolver has panicked.
        if let Some(joint) = self.0.upgrade() {
            joint.end(Err(Failure {
                kind: io::ErrorKind::Interrupted,
                text: "the task of the lookup was ended before it was done".into(),
            }));
        }
    }
}

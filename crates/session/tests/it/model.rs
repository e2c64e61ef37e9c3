//! Whatever order appending, looking away, coming back, acknowledging and trimming happen in: a client sees every frame
//! once and in order, and knows of every frame that it does not see.

use std::cell::Cell;
use std::collections::HashSet;

use action::{Action, TaskId};
use proptest::prelude::*;
use session::{Error, Event, Position, Start};

use crate::support::{Client, World, attempt, delta, last, log, said};

#[derive(Clone, Debug)]
enum Step {
    /// The attempt that runs writes a delta.
    Write {
        task: usize,
    },
    /// The attempt before it writes one.
    WriteLate {
        task: usize,
    },
    Finish {
        task: usize,
    },
    /// A new attempt begins, and says so before it writes, or not.
    Restart {
        task: usize,
        told: bool,
    },
    LookAway,
    Resume {
        acknowledged: bool,
    },
    Acknowledge {
        back: u64,
    },
    Trim {
        keep: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0..3_usize;
    prop_oneof![
        8 => task.clone().prop_map(|task| Step::Write { task }),
        2 => task.clone().prop_map(|task| Step::WriteLate { task }),
        2 => task.clone().prop_map(|task| Step::Finish { task }),
        2 => (task, any::<bool>()).prop_map(|(task, told)| Step::Restart { task, told }),
        2 => Just(Step::LookAway),
        3 => any::<bool>().prop_map(|acknowledged| Step::Resume { acknowledged }),
        2 => (0..4_u64).prop_map(|back| Step::Acknowledge { back }),
        1 => (0..6_u64).prop_map(|keep| Step::Trim { keep }),
    ]
}

/// One task as the log should see it.
struct Task {
    id: TaskId,
    /// Attempt that runs, and the number of its next delta.
    attempt: u32,
    index: u32,
    /// Latest attempt that the log knows, and latest that wrote; 0 for none.
    known: u32,
    wrote: u32,
    finished: bool,
}

impl Task {
    fn new() -> Self {
        Self { id: TaskId::new(), attempt: 1, index: 0, known: 0, wrote: 0, finished: false }
    }

    fn action(&self) -> Action {
        attempt(self.id, self.attempt)
    }
}

/// What should be in the log, and the client that looks at it.
struct Run<'a> {
    world: &'a World,
    log: session::Log,
    key: String,
    tasks: Vec<Task>,
    /// What stands at each position, and the task whose delta it is.
    truth: Vec<(String, Option<TaskId>)>,
    finished: HashSet<TaskId>,
    client: Option<Client>,
    position: Position,
    acknowledged: u64,
}

impl<'a> Run<'a> {
    fn new(world: &'a World, name: &str) -> Self {
        Self {
            world,
            log: log(name),
            key: format!("{{ns:acme:s:{name}}}:log"),
            tasks: (0..3).map(|_| Task::new()).collect(),
            truth: Vec::new(),
            finished: HashSet::new(),
            client: None,
            position: Position::default(),
            acknowledged: 0,
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Write { task } => self.write(task).await,
            Step::WriteLate { task } => self.write_late(task).await,
            Step::Finish { task } => self.finish(task).await,
            Step::Restart { task, told } => self.restart(task, told).await,
            Step::LookAway => self.client = None,
            Step::Resume { acknowledged } => self.resume(acknowledged).await,
            Step::Acknowledge { back } => self.acknowledge(back).await,
            Step::Trim { keep } => {
                self.world.redis.command(&["XTRIM", &self.key, "MAXLEN", "=", &keep.to_string()]);
            }
        }
        self.catch_up().await;
    }

    async fn write(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        let text = format!("{number}.{}", self.truth.len());
        let appended = self.world.sessions.append(&self.log, delta(&task.action(), task.index, &text)).await;
        if task.finished {
            assert!(matches!(appended, Err(Error::Finished)));
            return;
        }
        if task.wrote > 0 && task.wrote < task.attempt {
            self.truth.push((format!("restarted:{}", task.attempt), None));
        }
        (task.known, task.wrote, task.index) = (task.attempt, task.attempt, task.index + 1);
        self.truth.push((text, Some(task.id)));
        assert_eq!(appended.expect("it is appended").seq, self.truth.len() as u64);
    }

    async fn write_late(&mut self, number: usize) {
        let task = &self.tasks[number];
        if task.known < task.attempt || task.attempt == 1 {
            return;
        }
        let late = delta(&attempt(task.id, task.attempt - 1), 1000, "late");
        let refused = self.world.sessions.append(&self.log, late).await.expect_err("it is late");
        assert!(matches!((task.finished, refused), (true, Error::Finished) | (false, Error::Stale)));
    }

    async fn finish(&mut self, number: usize) {
        let task = &mut self.tasks[number];
        let appended = self.world.sessions.append(&self.log, last(&task.action(), "end")).await;
        if task.finished {
            assert!(matches!(appended, Err(Error::Finished)));
            *task = Task::new();
            return;
        }
        task.finished = true;
        self.finished.insert(task.id);
        self.truth.push(("=end".to_owned(), None));
        assert_eq!(appended.expect("it is appended").seq, self.truth.len() as u64);
    }

    async fn restart(&mut self, number: usize, told: bool) {
        let task = &mut self.tasks[number];
        if task.finished {
            return;
        }
        (task.attempt, task.index) = (task.attempt + 1, 0);
        if !told {
            return;
        }
        let appended = self.world.sessions.restart(&self.log, &task.action()).await.expect("it may begin");
        assert_eq!(appended.is_some(), task.wrote > 0);
        task.known = task.attempt;
        if appended.is_some() {
            task.wrote = task.attempt;
            self.truth.push((format!("restarted:{}", task.attempt), None));
        }
    }

    async fn resume(&mut self, acknowledged: bool) {
        let start = if acknowledged { Start::Acknowledged } else { Start::After(self.position.clone()) };
        let expected =
            if acknowledged || self.position.epoch.is_empty() { self.acknowledged } else { self.position.seq };
        let stream = self.world.sessions.follow(self.log.clone(), start);
        let mut client = Client::new(Box::pin(stream));
        let Event::Attached { epoch, after, top } = client.next().await else { panic!("the first event is Attached") };
        assert_eq!(top, self.truth.len() as u64);
        assert!(after >= expected);
        // A gap at the very beginning reaches from where the client was to where frames follow.
        client.position = Position { epoch: epoch.clone(), seq: expected };
        self.position = Position { epoch, seq: expected };
        self.client = Some(client);
    }

    async fn acknowledge(&mut self, back: u64) {
        let seq = self.position.seq.saturating_sub(back);
        self.world.sessions.acknowledge(&self.log, &self.position.epoch, seq).await.expect("it is acknowledged");
        self.acknowledged = self.acknowledged.max(seq);
    }

    /// Lets the client be told everything, and accounts for every position.
    async fn catch_up(&mut self) {
        let Some(client) = &mut self.client else { return };
        while self.position.seq < self.truth.len() as u64 {
            match client.next().await {
                Event::Frame(frame) => {
                    for hidden in self.position.seq + 1..frame.seq {
                        let (text, task) = &self.truth[place(hidden)];
                        let replaced = task.is_some_and(|task| self.finished.contains(&task));
                        assert!(replaced, "{text} at {hidden} was hidden and is no delta of a finished task");
                    }
                    assert_eq!(said(&frame), self.truth[place(frame.seq)].0);
                    self.position.seq = frame.seq;
                }
                Event::Gap(gap) => {
                    assert_eq!(gap.missed, Some(self.position.seq + 1..=gap.after));
                    self.position.seq = gap.after;
                }
                Event::Resumed { to, .. } => assert!(to >= self.position.seq),
                Event::Attached { .. } => panic!("attached twice"),
            }
        }
        assert_eq!(self.position.seq, self.truth.len() as u64);
    }
}

fn place(seq: u64) -> usize {
    usize::try_from(seq).expect("a small number") - 1
}

#[test]
fn a_client_sees_every_frame_once_in_order_or_knows_of_the_gap() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let world = runtime.block_on(World::new());
    let next = Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    let steps = prop::collection::vec(step(), 1..60);
    let outcome = runner.run(&steps, |steps| {
        next.set(next.get() + 1);
        runtime.block_on(async {
            let mut run = Run::new(&world, &format!("model-{}", next.get()));
            for step in steps {
                run.take(step).await;
            }
            run.resume(false).await;
            run.catch_up().await;
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

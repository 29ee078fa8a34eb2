//! Programs that hang, each in its own way, for the tests to look at from outside: `hang circle|locks|busy|blocked`.
//!
//! Each says `ready` when it is about to, and hangs until it is killed or its standard input ends.

use std::cell::RefCell;
use std::hint::spin_loop;
use std::io::{Read, stdin};
use std::process::exit;
use std::rc::Rc;
use std::thread;

use asyncio::{Lock, Task, TaskGroup, create_task, sleep};

#[asyncio::main]
async fn main() {
    let how = std::env::args().nth(1);
    if how.as_deref() != Some("blocked") {
        // Whoever started this may be killed before it kills us.
        thread::spawn(|| {
            let _ = stdin().read(&mut [0]);
            exit(0);
        });
    }
    match how.as_deref() {
        Some("circle") => circle().await,
        Some("locks") => locks().await,
        Some("busy") => create_task(busy()).name("busy").await.unwrap(),
        Some("blocked") => create_task(blocked()).name("blocked").await.unwrap(),
        other => eprintln!("hang circle|locks|busy|blocked, not {other:?}"),
    }
}

/// Two tasks that await each other.
async fn circle() {
    type Slot = Rc<RefCell<Option<Task<()>>>>;
    async fn awaits(slot: Slot) {
        let task = slot.borrow_mut().take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
    let slots: [Slot; 2] = Default::default();
    let hen = create_task(awaits(slots[1].clone())).name("hen");
    let egg = create_task(awaits(slots[0].clone())).name("egg");
    *slots[0].borrow_mut() = Some(hen);
    *slots[1].borrow_mut() = Some(egg);
    sleep(0).await;
    println!("ready");
    sleep(3600).await;
}

/// Two accounts, locked in opposite orders.
async fn locks() {
    let (alice, bob) = (Rc::new(Lock::new()), Rc::new(Lock::new()));
    TaskGroup::<()>::scope(async |group| {
        group
            .spawn(transfer(alice.clone(), bob.clone()))
            .set_name("alice to bob");
        group
            .spawn(transfer(bob.clone(), alice.clone()))
            .set_name("bob to alice");
        sleep(0).await;
        sleep(0).await;
        println!("ready");
        Ok(())
    })
    .await
    .unwrap();
}

async fn transfer(from: Rc<Lock>, to: Rc<Lock>) {
    let _from = from.acquire().await;
    sleep(0).await;
    let _to = to.acquire().await;
}

async fn busy() {
    println!("ready");
    loop {
        spin_loop();
    }
}

async fn blocked() {
    println!("ready");
    let _ = stdin().read(&mut [0]);
}

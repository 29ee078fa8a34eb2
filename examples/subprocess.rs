//! Child processes: a pipeline of two, one that is talked to line by line, one that is asked to end.
//!
//! Run it: `cargo run --example subprocess`

use std::io;

use asyncio::signal::SIGTERM;
use asyncio::subprocess::Stdio;
use asyncio::{create_subprocess_exec, create_subprocess_shell, timeout};

#[asyncio::main]
async fn main() -> io::Result<()> {
    // `printf … | sort`: the pipe goes from child to child, what comes out at its end comes to us.
    let (from_printf, to_sort) = io::pipe()?;
    let printf = create_subprocess_exec("printf")
        .args(["%s\n", "pear", "apple", "quince"])
        .stdout(to_sort)
        .spawn()
        .await?;
    let mut sort = create_subprocess_exec("sort")
        .stdin(from_printf)
        .stdout(Stdio::Piped)
        .spawn()
        .await?;
    let sorted = sort.communicate("").await?.stdout.unwrap();
    assert_eq!(sorted, "apple\npear\nquince\n");
    assert_eq!((printf.wait().await, sort.returncode()), (0, Some(0)));
    print!("sorted:\n{}", String::from_utf8_lossy(&sorted));

    // A conversation. A shell runs one command line; what a stranger wrote would not belong into it.
    let mut shell =
        create_subprocess_shell("while read name; do echo \"hello, $name\"; done; exit 3")
            .stdin(Stdio::Piped)
            .stdout(Stdio::Piped)
            .spawn()
            .await?;
    let (stdin, mut stdout) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
    for name in ["Ada", "Grace"] {
        stdin.write(format!("{name}\n"));
        assert_eq!(stdout.readline().await?, format!("hello, {name}\n"));
    }
    stdin.close();
    assert_eq!(shell.wait().await, 3);

    // A child that takes too long is asked to end. Dropping its handle would have killed it.
    let sleeper = create_subprocess_exec("sleep").arg("3600").spawn().await?;
    assert!(timeout(0.01, sleeper.wait()).await.is_err());
    sleeper.send_signal(SIGTERM)?;
    let returncode = sleeper.wait().await;
    assert_eq!(returncode, -15);
    println!("the sleeper returned {returncode}");
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}

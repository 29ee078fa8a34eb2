//! The dictionary of `docs/asyncio-map.md`: each of its names is used here by its full path, and nothing else is. What is
//! written in `uses` is compiled and never run; the test compares its paths with those of the page.

use std::collections::BTreeSet;

#[test]
fn the_dictionary_has_only_names_that_exist() {
    let listed = names_of_the_dictionary(include_str!("../../docs/asyncio-map.md"));
    let used = paths_used(include_str!("surface.rs"));
    assert!(
        listed.len() > 300,
        "too few, {}: the tables were not found",
        listed.len()
    );
    let unused: Vec<_> = listed.difference(&used).collect();
    let unlisted: Vec<_> = used.difference(&listed).collect();
    assert!(
        unused.is_empty() && unlisted.is_empty(),
        "in docs/asyncio-map.md and not used in surface.rs: {unused:?}; used, and not in the page: {unlisted:?}"
    );
}

#[test]
fn names_are_found_in_the_page_and_paths_in_the_code() {
    let page = "| asyncio | here | what differs |\n|---|---|---|\n| `a(b)` | `A`, `A::b` | not `c` |\n| `d` | why |\n";
    let expected = BTreeSet::from(["asyncio::A", "asyncio::A::b"].map(str::to_owned));
    assert_eq!(names_of_the_dictionary(page), expected);
    let code =
        "asyncio::Z\nmod uses {\n// asyncio::C\nasyncio::A::b::<u8>(any::<&asyncio::A<u8>>());";
    assert_eq!(paths_used(code), expected);
}

/// What stands between backticks in the middle columns of the tables that have three.
fn names_of_the_dictionary(page: &str) -> BTreeSet<String> {
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| asyncio"));
    let middles = rows.filter_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" |").collect();
        (cells.len() == 3).then(|| cells[1])
    });
    middles
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(|name| format!("asyncio::{name}"))
        .collect()
}

/// The paths of the facade in the code of `uses`, without its comments.
fn paths_used(source: &str) -> BTreeSet<String> {
    let (_, code) = source
        .split_once("\nmod uses {")
        .expect("the uses are at the end of this file");
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':'))
        .filter(|path| path.starts_with("asyncio::"))
        .map(|path| path.trim_end_matches(':').to_owned())
        .collect()
}

/// Type arguments stand behind the functions and in the types of the arguments, never inside a path, which would hide its end.
#[allow(
    dead_code,
    unused_imports,
    unused_must_use,
    clippy::let_underscore_future
)]
mod uses {
    use std::fs::File;
    use std::future::Ready;
    use std::net::{SocketAddr, TcpStream};
    use std::os::fd::OwnedFd;
    use std::rc::Rc;
    use std::time::Duration;

    /// A value of any type.
    fn any<T>() -> T {
        unreachable!("what is here is compiled and not run")
    }

    /// Uses a type.
    fn is<T: ?Sized>() {}

    fn runners() {
        use asyncio::main as _;
        use asyncio::test as _;
        asyncio::run(any::<Ready<u8>>());
        is::<asyncio::Runner>();
        asyncio::Runner::new();
        asyncio::Runner::builder();
        is::<asyncio::RunnerBuilder>();
        asyncio::RunnerBuilder::debug(any(), true);
        asyncio::RunnerBuilder::loop_factory(any(), any::<fn() -> _>());
        asyncio::RunnerBuilder::build(any());
        asyncio::Runner::run(any(), any::<Ready<u8>>());
        asyncio::Runner::get_loop(any());
        asyncio::Runner::close(any());
        is::<asyncio::EventLoop>();
        is::<asyncio::RunError>();
        let _ = asyncio::RunError::Interrupted;
    }

    fn scheduling() {
        asyncio::create_task(any::<Ready<u8>>());
        is::<asyncio::TaskBuilder>();
        asyncio::TaskBuilder::new();
        asyncio::TaskBuilder::name(any(), "");
        asyncio::TaskBuilder::context(any(), any());
        asyncio::TaskBuilder::eager_start(any(), true);
        asyncio::TaskBuilder::spawn(any(), any::<Ready<u8>>());
        asyncio::ensure_future(any::<Ready<u8>>());
        use asyncio::IntoTask as _;
        asyncio::sleep(1);
        asyncio::sleep_with(1, 1);
        asyncio::yield_now();
        asyncio::gather(any::<Vec<Ready<u8>>>());
        asyncio::try_gather(any::<Vec<Ready<Result<u8, u8>>>>());
        asyncio::wait(any::<Vec<asyncio::Task<u8>>>());
        asyncio::try_wait(any::<Vec<asyncio::Task<Result<u8, u8>>>>());
        is::<asyncio::Waiting<asyncio::Task<u8>>>();
        asyncio::Waiting::timeout(any::<asyncio::Waiting<asyncio::Task<u8>>>(), 1);
        asyncio::Waiting::return_when(any::<asyncio::Waiting<asyncio::Task<u8>>>(), any());
        is::<asyncio::WaitResult<asyncio::Task<u8>>>();
        is::<asyncio::ReturnWhen>();
        let _ = asyncio::ReturnWhen::FirstCompleted;
        let _ = asyncio::ReturnWhen::FirstException;
        let _ = asyncio::ReturnWhen::AllCompleted;
        asyncio::wait_for(any::<Ready<u8>>(), 1);
        asyncio::as_completed(any::<Vec<asyncio::Task<u8>>>());
        is::<asyncio::AsCompleted<u8>>();
        asyncio::AsCompleted::next(any::<&mut asyncio::AsCompleted<u8>>());
        asyncio::AsCompleted::timeout(any::<asyncio::AsCompleted<u8>>(), 1);
        asyncio::shield(any::<asyncio::Task<u8>>());
        asyncio::run_coroutine_threadsafe(any::<fn() -> Ready<u8>>(), any());
        asyncio::to_thread(any::<fn() -> u8>());
        asyncio::current_task();
        asyncio::all_tasks();
        is::<asyncio::TaskFactory>();
        let _ = asyncio::TaskFactory::Eager;
        let _ = asyncio::TaskFactory::Lazy;
    }

    fn tasks(task: &asyncio::Task<u8>) {
        is::<asyncio::TaskRef>();
        is::<asyncio::TaskError>();
        asyncio::Task::cancel(task);
        asyncio::TaskRef::cancel(any());
        asyncio::Task::cancel_with(task, "");
        asyncio::TaskRef::cancel_with(any(), "");
        asyncio::Task::cancelled(task);
        asyncio::Task::cancelling(task);
        asyncio::cancelling();
        asyncio::Task::uncancel(task);
        asyncio::uncancel();
        asyncio::Task::done(task);
        asyncio::Task::try_take(any::<asyncio::Task<u8>>());
        asyncio::Task::peek(any::<&mut asyncio::Task<u8>>());
        asyncio::Task::panicked(task);
        asyncio::Task::add_done_callback(task, any::<fn()>());
        asyncio::Task::add_done_callback_in(task, any(), any::<fn()>());
        asyncio::Task::remove_done_callback(task, 1);
        asyncio::Task::get_name(task);
        asyncio::Task::set_name(task, "");
        asyncio::Task::name(any::<asyncio::Task<u8>>(), "");
        is::<dyn asyncio::GetLoop>();
        asyncio::GetLoop::get_loop(task);
        asyncio::Task::context(task);
        asyncio::Task::spawn_location(task);
    }

    fn cancellation() {
        asyncio::catch_cancelled(any::<Ready<u8>>());
        asyncio::CancelledError::propagate::<u8>(any());
        asyncio::raise_cancelled::<u8>();
        asyncio::finally(any::<Ready<u8>>(), any::<Ready<()>>());
    }

    fn futures(future: &asyncio::Future<u8>, concurrent: &asyncio::ConcurrentFuture<u8>) {
        let _: asyncio::Future<u8> = asyncio::Future::new();
        asyncio::Future::set_result(future, 1);
        asyncio::Future::set_exception(future, "");
        asyncio::Future::result(future);
        is::<asyncio::FutureError>();
        asyncio::Future::exception(future);
        asyncio::Future::cancel(future);
        asyncio::Future::cancel_with(future, "");
        asyncio::Future::cancelled(future);
        asyncio::Future::done(future);
        asyncio::Future::add_done_callback(future, |_| ());
        asyncio::Future::add_done_callback_in(future, any(), |_| ());
        asyncio::Future::remove_done_callback(future, any());
        asyncio::wrap_future::<u8>(any());
        is::<asyncio::WrapFuture<u8>>();
        is::<asyncio::ConcurrentError>();
        asyncio::ConcurrentFuture::result(concurrent, None);
        asyncio::ConcurrentFuture::cancel(concurrent);
        asyncio::ConcurrentFuture::done(concurrent);
        asyncio::ConcurrentFuture::cancelled(concurrent);
        is::<dyn asyncio::AwaitNode>();
        asyncio::future_add_to_awaited_by(any::<&asyncio::TaskRef>(), any());
        asyncio::future_discard_from_awaited_by(any::<&asyncio::TaskRef>(), any());
        is::<asyncio::Awaited>();
    }

    fn groups(group: &asyncio::TaskGroup<u8>) {
        asyncio::TaskGroup::scope(async |_: &asyncio::TaskGroup<u8>| Ok(1));
        asyncio::TaskGroup::create_task(group, any::<Ready<Result<u8, u8>>>());
        is::<asyncio::GroupTask<u8>>();
        is::<dyn asyncio::ChildOutput<u8, Value = u8>>();
        asyncio::TaskGroup::spawn(group, any::<Ready<u8>>());
        asyncio::TaskGroup::builder(group);
        is::<asyncio::GroupTaskBuilder<u8>>();
        asyncio::GroupTaskBuilder::name(asyncio::TaskGroup::builder(group), "");
        asyncio::GroupTaskBuilder::context(asyncio::TaskGroup::builder(group), any());
        asyncio::GroupTaskBuilder::eager_start(asyncio::TaskGroup::builder(group), true);
        asyncio::GroupTaskBuilder::create_task(
            asyncio::TaskGroup::builder(group),
            any::<Ready<Result<u8, u8>>>(),
        );
        asyncio::TaskGroup::cancel(group);
        is::<asyncio::GroupError<u8>>();
        asyncio::ExceptionGroup::split(any::<asyncio::ExceptionGroup<u8>>(), |_| true);
        asyncio::ExceptionGroup::errors(any::<&asyncio::ExceptionGroup<u8>>());
        asyncio::ExceptionGroup::into_errors(any::<asyncio::ExceptionGroup<u8>>());
        asyncio::ExceptionGroup::leaves(any::<&asyncio::ExceptionGroup<u8>>());
        asyncio::scope(async |_: &asyncio::Scope<'_>| 1);
        asyncio::try_scope(async |_: &asyncio::TryScope<'_, u8>| Ok(1));
    }

    fn timeouts() {
        asyncio::timeout(1, any::<Ready<u8>>());
        asyncio::timeout_at(any(), any::<Ready<u8>>());
        is::<asyncio::Timeout>();
        asyncio::Timeout::new(1);
        asyncio::Timeout::at(any());
        asyncio::Timeout::scope(any(), async |_| 1);
        asyncio::Timeout::when(any());
        asyncio::Timeout::reschedule(any(), None);
        is::<asyncio::RescheduleError>();
        asyncio::Timeout::expired(any());
    }

    fn synchronisation(
        lock: &asyncio::Lock,
        semaphore: &asyncio::Semaphore,
        condition: &asyncio::Condition,
    ) {
        asyncio::Lock::new();
        is::<asyncio::Mutex<u8>>();
        use asyncio::threadsafe;
        is::<threadsafe::Lock>();
        asyncio::Lock::acquire(lock);
        is::<asyncio::LockGuard<'_>>();
        asyncio::LockGuard::forget(any::<asyncio::LockGuard<'_>>());
        asyncio::Lock::release(lock);
        is::<asyncio::LockReleaseError>();
        asyncio::Lock::locked(lock);
        is::<asyncio::Event>();
        asyncio::Event::new();
        asyncio::Event::set(any());
        asyncio::Event::clear(any());
        asyncio::Event::is_set(any());
        asyncio::Event::wait(any());
        let _: asyncio::Condition = asyncio::Condition::new();
        let _: asyncio::Condition = asyncio::Condition::with_lock(any());
        asyncio::Condition::acquire(condition);
        asyncio::Condition::release(condition);
        asyncio::Condition::locked(condition);
        asyncio::Condition::wait(condition, any::<asyncio::LockGuard<'_>>());
        asyncio::Condition::wait_for(condition, any::<asyncio::LockGuard<'_>>(), |_| true);
        asyncio::Condition::wait_for_value(condition, any::<asyncio::LockGuard<'_>>(), |_| Some(1));
        asyncio::Condition::notify(condition, 1);
        asyncio::Condition::notify_all(condition);
        is::<asyncio::NotifyError>();
        asyncio::Semaphore::new(1);
        asyncio::Semaphore::acquire(semaphore);
        is::<asyncio::Permit<'_>>();
        asyncio::Semaphore::release(semaphore);
        asyncio::Semaphore::add_permits(semaphore, 1);
        asyncio::Semaphore::locked(semaphore);
        is::<asyncio::BoundedSemaphore>();
        asyncio::BoundedSemaphore::new(1);
        asyncio::BoundedSemaphore::release(any());
        is::<asyncio::SemaphoreReleaseError>();
        is::<asyncio::Barrier>();
        asyncio::Barrier::new(1);
        is::<asyncio::BarrierPartiesError>();
        asyncio::Barrier::wait(any());
        asyncio::Barrier::reset(any());
        asyncio::Barrier::abort(any());
        asyncio::Barrier::parties(any());
        asyncio::Barrier::n_waiting(any());
        asyncio::Barrier::broken(any());
    }

    fn queues(queue: &asyncio::Queue<u8>) {
        let _: asyncio::Queue<u8> = asyncio::Queue::new();
        let _: asyncio::Queue<u8> = asyncio::Queue::bounded(1);
        is::<asyncio::PriorityQueue<u8>>();
        is::<asyncio::LifoQueue<u8>>();
        asyncio::Queue::put(queue, 1);
        asyncio::Queue::get(queue);
        asyncio::Queue::put_nowait(queue, 1);
        is::<asyncio::PutNowaitError<u8>>();
        asyncio::Queue::get_nowait(queue);
        is::<asyncio::GetNowaitError>();
        asyncio::Queue::join(queue);
        asyncio::Queue::task_done(queue);
        is::<asyncio::TaskDoneError>();
        asyncio::Queue::shutdown(queue, true);
        asyncio::Queue::qsize(queue);
        asyncio::Queue::empty(queue);
        asyncio::Queue::full(queue);
        asyncio::Queue::maxsize(queue);
        is::<asyncio::QueueEmpty>();
        is::<asyncio::QueueFull<u8>>();
        is::<asyncio::QueueShutDown<u8>>();
    }

    fn connecting() {
        type Callback = fn(asyncio::StreamReader, asyncio::StreamWriter) -> Ready<()>;
        asyncio::open_connection("", 1);
        is::<asyncio::ConnectOptions>();
        asyncio::ConnectOptions::new();
        asyncio::ConnectOptions::connect(any(), "", 1);
        asyncio::ConnectOptions::limit(any(), 1);
        asyncio::ConnectOptions::family(any(), None);
        asyncio::ConnectOptions::local_addr(any(), any());
        asyncio::ConnectOptions::happy_eyeballs_delay(any(), 1);
        asyncio::ConnectOptions::interleave(any(), 1);
        asyncio::ConnectOptions::tls(any(), any());
        is::<asyncio::TlsOptions>();
        asyncio::TlsOptions::client();
        asyncio::TlsOptions::server("", "");
        asyncio::TlsOptions::server_hostname(any(), "");
        asyncio::TlsOptions::handshake_timeout(any(), 1);
        asyncio::TlsOptions::shutdown_timeout(any(), 1);
        is::<asyncio::ConnectError>();
        asyncio::ConnectError::failures(any());
        asyncio::ConnectOptions::adopt(any(), any::<OwnedFd>());
        asyncio::open_unix_connection("");
        asyncio::ConnectOptions::connect_unix(any(), "");
    }

    fn serving() {
        type Callback = fn(asyncio::StreamReader, asyncio::StreamWriter) -> Ready<()>;
        asyncio::start_server(any::<Callback>(), "", 1);
        is::<dyn asyncio::Outcome>();
        is::<asyncio::ServerOptions>();
        asyncio::ServerOptions::new();
        asyncio::ServerOptions::start(any(), any::<Callback>(), "", 1);
        asyncio::ServerOptions::limit(any(), 1);
        asyncio::ServerOptions::family(any(), None);
        asyncio::ServerOptions::tls(any(), any());
        asyncio::ServerOptions::start_on(any(), any::<Callback>(), any::<OwnedFd>());
        asyncio::ServerOptions::backlog(any(), 1);
        asyncio::ServerOptions::reuse_address(any(), true);
        asyncio::ServerOptions::reuse_port(any(), true);
        asyncio::ServerOptions::keep_alive(any(), true);
        asyncio::ServerOptions::start_serving(any(), true);
        asyncio::start_unix_server(any::<Callback>(), "");
        asyncio::ServerOptions::start_unix(any(), any::<Callback>(), "");
        asyncio::ServerOptions::cleanup_socket(any(), true);
        is::<asyncio::Server>();
        asyncio::Server::close(any());
        asyncio::Server::close_clients(any());
        asyncio::Server::abort_clients(any());
        asyncio::Server::wait_closed(any());
        asyncio::Server::start_serving(any());
        asyncio::Server::serve_forever(any());
        asyncio::Server::is_serving(any());
        asyncio::Server::sockets(any());
        is::<asyncio::ServerSocket>();
        asyncio::Server::local_addrs(any());
        asyncio::Server::scope(any(), async |_| 1);
    }

    fn streams() {
        asyncio::StreamReader::pair(1);
        is::<asyncio::StreamFeeder>();
        asyncio::StreamReader::read(any(), 1);
        asyncio::StreamReader::read_to_end(any());
        asyncio::StreamReader::readline(any());
        asyncio::StreamReader::readexactly(any(), 1);
        asyncio::StreamReader::readuntil(any(), "");
        asyncio::StreamReader::readuntil_any(any(), &[""]);
        asyncio::StreamReader::lines(any());
        is::<asyncio::Lines<'_>>();
        asyncio::Lines::next_line(any::<&mut asyncio::Lines<'_>>());
        asyncio::StreamReader::at_eof(any());
        asyncio::StreamFeeder::feed_data(any(), "");
        asyncio::StreamFeeder::feed_eof(any());
        asyncio::StreamReader::exception(any());
        asyncio::StreamReader::set_exception(any(), any());
        asyncio::StreamFeeder::set_exception(any(), any());
        is::<asyncio::StreamReaderProtocol>();
        asyncio::StreamReaderProtocol::new(1);
        asyncio::StreamReaderProtocol::with_callback(1, |_, _, _| std::future::ready(()));
        asyncio::StreamReaderProtocol::drain(any());
        asyncio::StreamWriter::write(any(), "");
        asyncio::StreamWriter::writelines(any(), [""]);
        asyncio::StreamWriter::drain(any());
        asyncio::StreamWriter::close(any());
        asyncio::StreamWriter::is_closing(any());
        asyncio::StreamWriter::wait_closed(any());
        asyncio::StreamWriter::write_eof(any());
        asyncio::StreamWriter::can_write_eof(any());
        asyncio::StreamWriter::abort(any());
        asyncio::StreamWriter::set_write_buffer_limits(any(), 1, 1);
        asyncio::StreamWriter::get_write_buffer_size(any());
        asyncio::StreamWriter::peer_addr(any());
        asyncio::StreamWriter::local_addr(any());
        asyncio::StreamWriter::socket(any());
        is::<asyncio::SocketRef<'_>>();
        asyncio::StreamWriter::tls(any());
        is::<asyncio::TlsInfo>();
        asyncio::StreamWriter::start_tls(any(), any(), any());
    }

    fn children(child: &mut asyncio::subprocess::Process) {
        asyncio::create_subprocess_exec("");
        asyncio::create_subprocess_shell("");
        is::<asyncio::subprocess::SubprocessBuilder>();
        asyncio::subprocess::SubprocessBuilder::args(any(), [""]);
        asyncio::subprocess::SubprocessBuilder::spawn(any());
        asyncio::subprocess::SubprocessBuilder::stdin(any(), any::<asyncio::subprocess::Stdio>());
        asyncio::subprocess::SubprocessBuilder::stdout(any(), any::<asyncio::subprocess::Stdio>());
        asyncio::subprocess::SubprocessBuilder::stderr(any(), any::<asyncio::subprocess::Stdio>());
        asyncio::subprocess::SubprocessBuilder::limit(any(), 1);
        let _ = asyncio::subprocess::Stdio::Piped;
        let _ = asyncio::subprocess::Stdio::Stdout;
        let _ = asyncio::subprocess::Stdio::Null;
        let _ = asyncio::subprocess::Stdio::Inherit;
        asyncio::subprocess::SubprocessBuilder::current_dir(any(), "");
        asyncio::subprocess::SubprocessBuilder::env(any(), "", "");
        asyncio::subprocess::SubprocessBuilder::env_clear(any());
        asyncio::subprocess::SubprocessBuilder::pass_fd(any(), any::<OwnedFd>());
        asyncio::subprocess::SubprocessBuilder::start_new_session(any(), true);
        asyncio::subprocess::SubprocessBuilder::process_group(any(), 1);
        asyncio::subprocess::SubprocessBuilder::uid(any(), 1);
        asyncio::subprocess::SubprocessBuilder::gid(any(), 1);
        asyncio::subprocess::Process::communicate(child, "");
        asyncio::subprocess::Process::communicate_within(child, 1, "");
        is::<asyncio::subprocess::Output>();
        asyncio::subprocess::Process::wait(child);
        asyncio::subprocess::Process::send_signal(child, 1);
        asyncio::subprocess::Process::terminate(child);
        asyncio::subprocess::Process::kill(child);
        is::<asyncio::subprocess::ProcessLookupError>();
        asyncio::subprocess::Process::pid(child);
        asyncio::subprocess::Process::returncode(child);
        asyncio::stdin();
        asyncio::stdout();
        asyncio::stderr();
    }

    fn exceptions() {
        asyncio::CancelledError::message(any::<&asyncio::CancelledError>());
        is::<asyncio::TimeoutError>();
        is::<asyncio::InvalidStateError>();
        is::<asyncio::IncompleteReadError>();
        is::<asyncio::LimitOverrunError>();
        is::<asyncio::StreamError>();
        is::<asyncio::SendfileNotAvailableError>();
        is::<asyncio::BrokenBarrierError>();
    }

    fn loops(event_loop: &asyncio::EventLoop, handle: &asyncio::LoopHandle) {
        asyncio::get_running_loop();
        asyncio::try_running_loop();
        asyncio::get_event_loop();
        asyncio::set_event_loop(None);
        asyncio::new_event_loop();
        asyncio::EventLoop::new();
        asyncio::EventLoop::run_until_complete(event_loop, any::<Ready<u8>>());
        asyncio::EventLoop::run_forever(event_loop);
        asyncio::EventLoop::stop(event_loop);
        asyncio::EventLoop::close(event_loop);
        asyncio::EventLoop::turn(event_loop, None);
        asyncio::EventLoop::set_default_executor(event_loop, any());
        asyncio::LoopHandle::stop(handle);
        asyncio::LoopHandle::is_running(handle);
        asyncio::LoopHandle::is_closed(handle);
        asyncio::LoopHandle::shutdown_default_executor(handle, any::<Option<Duration>>());
        asyncio::LoopHandle::call_soon(handle, any::<fn()>());
        asyncio::LoopHandle::call_soon_in(handle, any(), any::<fn()>());
        asyncio::LoopHandle::call_soon_threadsafe(handle, any::<fn()>());
        is::<asyncio::Closed>();
        asyncio::LoopHandle::call_later(handle, 1, any::<fn()>());
        asyncio::LoopHandle::call_later_in(handle, any(), 1, any::<fn()>());
        asyncio::LoopHandle::call_at(handle, any(), any::<fn()>());
        asyncio::LoopHandle::call_at_in(handle, any(), any(), any::<fn()>());
        asyncio::LoopHandle::time(handle);
        is::<asyncio::LoopTime>();
        asyncio::LoopHandle::create_task(handle, any::<Ready<u8>>());
        asyncio::LoopHandle::set_task_factory(handle, any());
        asyncio::LoopHandle::get_task_factory(handle);
        asyncio::LoopHandle::run_in_executor(handle, any::<fn() -> u8>());
        is::<asyncio::Job<u8>>();
        is::<asyncio::JobError>();
        asyncio::LoopHandle::add_signal_handler(handle, 1, any::<fn()>());
        asyncio::LoopHandle::remove_signal_handler(handle, 1);
        asyncio::LoopHandle::set_exception_handler(handle, None);
        asyncio::LoopHandle::get_exception_handler(handle);
        is::<asyncio::ExceptionHandler>();
        asyncio::LoopHandle::default_exception_handler(handle, any());
        asyncio::LoopHandle::call_exception_handler(handle, any());
        is::<asyncio::ExceptionContext>();
        asyncio::LoopHandle::get_debug(handle);
        asyncio::LoopHandle::set_debug(handle, true);
        asyncio::LoopHandle::slow_callback_duration(handle);
        asyncio::LoopHandle::set_slow_callback_duration(handle, 1);
    }

    fn networks(socket: &TcpStream, file: &File) {
        use asyncio::resolve;
        asyncio::getaddrinfo("", 1, any::<resolve::Hints>());
        is::<asyncio::resolve::Hints>();
        asyncio::getnameinfo(any::<SocketAddr>(), any());
        is::<asyncio::resolve::NameFlags>();
        asyncio::create_connection(any::<fn() -> Talk>(), any(), "", 1);
        asyncio::create_unix_connection(any::<fn() -> Talk>(), any(), "");
        asyncio::connect_accepted_socket(any::<fn() -> Talk>(), any(), any::<OwnedFd>());
        asyncio::create_server(any::<fn() -> Talk>(), any(), "", 1);
        asyncio::create_server_on(any::<fn() -> Talk>(), any(), any::<OwnedFd>());
        asyncio::create_unix_server(any::<fn() -> Talk>(), any(), "");
        asyncio::create_datagram_endpoint(any::<fn() -> Talk>(), any());
        is::<asyncio::DatagramOptions>();
        is::<asyncio::DatagramSocket>();
        asyncio::DatagramOptions::local_path(any(), "");
        asyncio::DatagramOptions::remote_path(any(), "");
        asyncio::DatagramOptions::local_addr(any(), "", 1);
        asyncio::DatagramOptions::remote_addr(any(), "", 1);
        asyncio::DatagramOptions::reuse_port(any(), true);
        asyncio::DatagramOptions::allow_broadcast(any(), true);
        asyncio::DatagramOptions::sock(any(), any::<OwnedFd>());
        asyncio::sendfile(any::<&asyncio::SocketTransport>(), file, ..);
        asyncio::sendfile_native(any::<&asyncio::SocketTransport>(), file, ..);
        asyncio::start_tls(any(), any());
        asyncio::add_reader(socket, any::<fn()>());
        asyncio::remove_reader(socket);
        asyncio::add_writer(socket, any::<fn()>());
        asyncio::remove_writer(socket);
        asyncio::sock_recv(socket, 1);
        asyncio::sock_recv_into(socket, any());
        asyncio::sock_recvfrom(socket, 1);
        asyncio::sock_recvfrom_into(socket, any());
        asyncio::sock_sendall(socket, any());
        asyncio::sock_sendto(socket, any(), any::<SocketAddr>());
        asyncio::sock_connect(socket, any::<SocketAddr>());
        asyncio::sock_accept(socket);
        asyncio::sock_sendfile(socket, file, ..);
        asyncio::sock_sendfile_native(socket, file, ..);
        asyncio::read_pipe(any::<OwnedFd>(), 1);
        asyncio::write_pipe(any::<OwnedFd>());
        asyncio::connect_read_pipe(any::<fn() -> Talk>(), any::<OwnedFd>());
        asyncio::connect_write_pipe(any::<fn() -> Talk>(), any::<OwnedFd>());
        asyncio::subprocess_exec(any::<fn() -> Talk>(), any());
        asyncio::add_signal_handler(1, any::<fn()>());
        asyncio::remove_signal_handler(1);
    }

    fn handles() {
        is::<asyncio::Handle>();
        asyncio::Handle::cancel(any());
        asyncio::Handle::cancelled(any());
        asyncio::Handle::context(any());
        is::<asyncio::TimerHandle>();
        asyncio::TimerHandle::cancel(any());
        asyncio::TimerHandle::cancelled(any());
        asyncio::TimerHandle::when(any());
        is::<asyncio::ThreadsafeHandle>();
        asyncio::ThreadsafeHandle::cancel(any());
        asyncio::ThreadsafeHandle::cancelled(any());
    }

    fn transports(transport: &asyncio::SocketTransport) {
        is::<dyn asyncio::BaseTransport>();
        asyncio::BaseTransport::close(transport);
        asyncio::BaseTransport::is_closing(transport);
        asyncio::BaseTransport::extra(transport);
        is::<asyncio::ExtraInfo>();
        asyncio::SocketTransport::socket(transport);
        asyncio::SocketTransport::tls(transport);
        asyncio::SocketTransport::set_protocol(transport, any::<Rc<Talk>>());
        asyncio::SocketTransport::get_protocol(transport);
        is::<dyn asyncio::ReadTransport>();
        asyncio::ReadTransport::is_reading(transport);
        asyncio::ReadTransport::pause_reading(transport);
        asyncio::ReadTransport::resume_reading(transport);
        is::<dyn asyncio::WriteTransport>();
        asyncio::WriteTransport::write(transport, any());
        asyncio::WriteTransport::writelines(transport, any());
        asyncio::WriteTransport::write_eof(transport);
        asyncio::WriteTransport::can_write_eof(transport);
        asyncio::WriteTransport::abort(transport);
        asyncio::WriteTransport::set_write_buffer_limits(transport, any());
        is::<asyncio::WriteLimits>();
        asyncio::WriteLimits::new(1, 1);
        asyncio::WriteLimits::high(1);
        asyncio::WriteLimits::low(1);
        asyncio::WriteTransport::get_write_buffer_limits(transport);
        asyncio::WriteTransport::get_write_buffer_size(transport);
        is::<dyn asyncio::Transport>();
        is::<asyncio::DatagramTransport>();
        asyncio::DatagramTransport::sendto(any(), "", None);
        asyncio::DatagramTransport::abort(any());
        is::<asyncio::SubprocessTransport>();
        asyncio::SubprocessTransport::get_pid(any());
        asyncio::SubprocessTransport::get_returncode(any());
        asyncio::SubprocessTransport::get_pipe_transport(any(), 1);
        asyncio::SubprocessTransport::send_signal(any(), 1);
        asyncio::SubprocessTransport::terminate(any());
        asyncio::SubprocessTransport::kill(any());
        asyncio::SubprocessTransport::close(any());
    }

    fn protocols(talk: &Talk) {
        let base: &dyn asyncio::BaseProtocol = talk;
        asyncio::BaseProtocol::connection_made(base, any());
        asyncio::BaseProtocol::connection_lost(base, None);
        asyncio::BaseProtocol::pause_writing(base);
        asyncio::BaseProtocol::resume_writing(base);
        is::<dyn asyncio::Protocol>();
        asyncio::Protocol::data_received(talk, any());
        asyncio::Protocol::eof_received(talk);
        is::<dyn asyncio::BufferedProtocol>();
        is::<asyncio::Buffered<Talk>>();
        asyncio::BufferedProtocol::get_buffer(talk, 1);
        asyncio::BufferedProtocol::buffer_updated(talk, 1);
        asyncio::BufferedProtocol::eof_received(talk);
        is::<dyn asyncio::DatagramProtocol>();
        asyncio::DatagramProtocol::datagram_received(talk, any(), None);
        asyncio::DatagramProtocol::error_received(talk, any());
        is::<dyn asyncio::SubprocessProtocol>();
        asyncio::SubprocessProtocol::pipe_data_received(talk, 1, any());
        asyncio::SubprocessProtocol::pipe_connection_lost(talk, 1, None);
        asyncio::SubprocessProtocol::process_exited(talk);
        asyncio::staggered_race(any::<Vec<fn() -> Ready<Result<u8, u8>>>>(), None);
    }

    fn looking() {
        asyncio::capture_call_graph(None, any());
        is::<asyncio::CallGraphOptions>();
        asyncio::CallGraphOptions::depth(any(), 1);
        asyncio::CallGraphOptions::limit(any(), 1);
        asyncio::format_call_graph(None, any());
        asyncio::print_call_graph(None, any(), any::<Vec<u8>>());
        is::<asyncio::FutureCallGraph>();
        is::<asyncio::FrameCallGraphEntry>();
        asyncio::tools::serve();
        asyncio::tools::get_all_awaited_by(1);
        asyncio::tools::get_all_stacks(1);
        asyncio::tools::build_async_tree(any());
        asyncio::tools::build_task_table(any());
        asyncio::tools::format_async_tree(any());
        asyncio::tools::format_task_table(any());
        is::<asyncio::tools::CycleFound>();
        is::<asyncio::tools::NodeType>();
    }

    fn variables(variable: &'static asyncio::ContextVar<u8>) {
        let _: asyncio::ContextVar<u8> = asyncio::ContextVar::new("");
        asyncio::ContextVar::with_default("", 1);
        asyncio::ContextVar::get(variable);
        asyncio::ContextVar::get_or(variable, 1);
        asyncio::ContextVar::with(variable, |_| ());
        asyncio::ContextVar::set(variable, 1);
        asyncio::ContextVar::reset(variable, any());
        is::<asyncio::ResetError>();
        asyncio::Token::old_value(any::<&asyncio::Token<u8>>());
        asyncio::Token::guard(any::<asyncio::Token<u8>>());
        is::<asyncio::TokenGuard<u8>>();
        asyncio::copy_context();
        is::<asyncio::Context>();
        asyncio::Context::new();
        asyncio::Context::run(any(), || ());
        asyncio::Context::copy(any());
        asyncio::Context::get(any(), variable);
        asyncio::Context::contains(any(), variable);
        asyncio::Context::len(any());
    }

    fn threads() {
        let _ = asyncio::signal::SIGTERM;
        is::<asyncio::signal::Signal>();
        asyncio::signal::signals([1]);
        is::<asyncio::signal::Signals>();
        asyncio::signal::Signals::recv(any());
        is::<asyncio::ThreadPoolExecutor>();
        asyncio::ThreadPoolExecutor::new(1);
        asyncio::ThreadPoolExecutor::builder();
        asyncio::ThreadPoolExecutor::submit(any(), any::<fn() -> u8>());
        asyncio::Job::cancel(any::<&asyncio::Job<u8>>());
        asyncio::Job::wait(any::<asyncio::Job<u8>>());
        asyncio::ThreadPoolExecutor::close(any());
        asyncio::ThreadPoolExecutor::join(any(), None);
        asyncio::ThreadPoolExecutor::wait_closed(any());
        asyncio::ThreadPoolExecutor::cancel_queued(any());
    }

    /// A protocol of every kind.
    struct Talk;

    impl<T> asyncio::BaseProtocol<T> for Talk {}

    impl asyncio::Protocol for Talk {
        fn data_received(&self, _data: &[u8]) {}
    }

    impl asyncio::BufferedProtocol for Talk {
        fn get_buffer(&self, _size_hint: usize) -> std::cell::RefMut<'_, [u8]> {
            any()
        }

        fn buffer_updated(&self, _n: usize) {}
    }

    impl asyncio::DatagramProtocol for Talk {
        fn datagram_received(&self, _data: &[u8], _from: Option<&asyncio::Address>) {}
    }

    impl asyncio::SubprocessProtocol for Talk {}
}

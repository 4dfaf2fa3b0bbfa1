//! Accepts TCP connections, not more at once than there is room for.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use crate::{Clock, Seldom, Tasks};

/// After a failed accept: usually the process has no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// How often that is said.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Drives each connection of `listener`, which logs call `name`, as a task of `tasks`, until `tasks`
/// stops. A driver has its connection's place for as long as it keeps the permit; with all `places`
/// taken, more connections wait in the kernel's queue.
pub fn accept<D, F>(
    name: &'static str,
    listener: TcpListener,
    places: usize,
    tasks: &Tasks,
    drive: D,
) where
    D: Fn(TcpStream, OwnedSemaphorePermit) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let connections = tasks.clone();
    tasks.spawn("listener", async move {
        let stop = connections.token();
        stop.run_until_cancelled(run(name, listener, places, connections, drive))
            .await;
    });
}

async fn run<D, F>(name: &'static str, listener: TcpListener, places: usize, tasks: Tasks, drive: D)
where
    D: Fn(TcpStream, OwnedSemaphorePermit) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(places));
    let (clock, mut failures) = (Clock::system(), Seldom::new(SAID_EVERY));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((socket, _)) => {
                // Answers are small; waiting for more to send with them only delays.
                let _ = socket.set_nodelay(true);
                tasks.spawn("connection", drive(socket, place));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if let Some(times) = failures.count(clock.monotonic()) {
                    tracing::warn!(listener = name, %error, times, "no connection can be accepted");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn who_finds_no_place_waits_for_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("has an address");
        let tasks = Tasks::new();
        // Greets, and keeps the place until the client says something.
        accept("test", listener, 1, &tasks, async |mut socket, place| {
            let _ = socket.write_all(b"!").await;
            let _ = socket.read_u8().await;
            drop(place);
        });
        let mut first = TcpStream::connect(address).await.expect("connects");
        assert_eq!(first.read_u8().await.expect("is greeted"), b'!');
        let mut second = TcpStream::connect(address).await.expect("connects");
        let waits = second.try_read(&mut [0]).expect_err("is not greeted");
        assert_eq!(waits.kind(), io::ErrorKind::WouldBlock);
        first.write_u8(b'.').await.expect("writes");
        assert_eq!(second.read_u8().await.expect("is greeted"), b'!');
        drop(second);
        tasks.shutdown(Duration::from_secs(10)).await;
    }
}

//! The end: what is in flight finishes, what is idle closes, what hangs is given up.

use super::*;

async fn no_longer_listening(running: &Running) -> Test {
    let refused = async {
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, refused)
        .await
        .map_err(|_| "it still listens".into())
}

#[tokio::test]
async fn requests_in_flight_finish_and_nothing_new_begins() -> Test {
    let running = start(patient()).await?;
    let mut idle = Client::connect(&running).await?;
    idle.get("/peer").await?;
    let mut busy = Client::connect(&running).await?;
    busy.send("GET /held HTTP/1.1\r\nhost: test\r\n\r\n")
        .await?;
    running.arrived.acquire().await?.forget();

    running.shutdown.cancel();
    idle.closed().await?;
    no_longer_listening(&running).await?;
    assert!(
        !running.task.is_finished(),
        "it did not wait for the request in flight"
    );

    running.gate.add_permits(1);
    let (head, body) = busy.answer().await?;
    assert_eq!(body, "released");
    assert!(head.contains("connection: close"), "{head}");
    tokio::time::timeout(DEADLINE, running.task).await??;
    Ok(())
}

#[tokio::test]
async fn what_does_not_finish_is_given_up() -> Test {
    let running = start(Limits {
        shutdown_timeout: SHORT,
        ..patient()
    })
    .await?;
    let mut busy = Client::connect(&running).await?;
    busy.send("GET /held HTTP/1.1\r\nhost: test\r\n\r\n")
        .await?;
    running.arrived.acquire().await?.forget();
    running.shutdown.cancel();
    tokio::time::timeout(DEADLINE, running.task).await??;
    busy.closed().await?;
    Ok(())
}

#[tokio::test]
async fn http2_streams_in_flight_finish_too() -> Test {
    let running = start(patient()).await?;
    let client = http2_client()?;
    let url = format!("http://{}/held", running.address);
    let request = tokio::spawn(async move { client.get(url).send().await?.text().await });
    running.arrived.acquire().await?.forget();
    running.shutdown.cancel();
    no_longer_listening(&running).await?;
    running.gate.add_permits(1);
    assert_eq!(request.await??, "released");
    tokio::time::timeout(DEADLINE, running.task).await??;
    Ok(())
}

//! Questions and answers cut anywhere, what is not of ours, and a node that does not know them.

use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::link::{PING_TIMEOUT, Target};
use super::super::{Authority, Identity, path};
use super::*;

const CONTEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TTL: Duration = Duration::from_secs(10);

type Error = Box<dyn std::error::Error>;

impl From<Malformed> for Error {
    fn from(Malformed(why): Malformed) -> Self {
        why.into()
    }
}

fn waiting(question: &'static str, context: Option<&'static str>) -> Question {
    Question {
        question: Bytes::from_static(question.as_bytes()),
        context: context.map(HeaderValue::from_static),
        answer: oneshot::channel().0,
    }
}

/// What is sent of some questions that are there at once.
async fn written(questions: Vec<Question>) -> Vec<Bytes> {
    let (sender, receiver) = mpsc::channel(questions.len());
    for question in questions {
        assert!(sender.try_send(question).is_ok());
    }
    drop(sender);
    let frames = sent(receiver, Arc::default());
    frames
        .map(|frame| frame.ok().and_then(|frame| frame.into_data().ok()))
        .map(Option::unwrap_or_default)
        .collect()
        .await
}

#[tokio::test]
async fn questions_that_are_there_together_go_together_and_are_read_however_they_are_cut()
-> Result<(), Error> {
    let questions = vec![
        waiting("one", None),
        waiting("", Some(CONTEXT)),
        waiting("three", None),
    ];
    let frames = written(questions).await;
    assert_eq!(frames.len(), 1);
    let asked = |number, context: Option<&'static str>, question: &'static str| Received {
        number,
        context: context.map(HeaderValue::from_static),
        question: Bytes::from_static(question.as_bytes()),
    };
    let expected = [
        asked(1, None, "one"),
        asked(2, Some(CONTEXT), ""),
        asked(3, None, "three"),
    ];
    for cut in 0..frames[0].len() {
        let mut received = BytesMut::new();
        let mut read = Vec::new();
        for part in [&frames[0][..cut], &frames[0][cut..]] {
            received.put(part);
            while let Some(question) = question(&mut received)? {
                read.push(question);
            }
        }
        assert_eq!(read, expected, "cut at {cut}");
    }
    Ok(())
}

#[test]
fn answers_are_read_however_they_are_cut() -> Result<(), Error> {
    let mut written = BytesMut::new();
    put_answer(&mut written, 7, Ok(Bytes::from_static(b"yes")));
    put_answer(&mut written, 5, Err(Bytes::new()));
    let expected = [(7, Ok(Bytes::from_static(b"yes"))), (5, Err(Bytes::new()))];
    for cut in 0..written.len() {
        let mut received = BytesMut::new();
        let mut read = Vec::new();
        for part in [&written[..cut], &written[cut..]] {
            received.put(part);
            read.extend(answers(&mut received)?);
        }
        assert_eq!(read, expected, "cut at {cut}");
    }
    Ok(())
}

#[test]
fn what_nobody_here_writes_is_not_waited_for() {
    let mut received = BytesMut::new();
    received.put_u64_le(1);
    received.put_u8(0);
    received.put_u32_le(QUESTION_MAX_BYTES as u32 + 1);
    assert!(question(&mut received).is_err());
    let mut received = BytesMut::new();
    received.put_u64_le(1);
    received.put_u8(0);
    received.put_u32_le(ANSWER_MAX_BYTES as u32 + 1);
    assert!(answers(&mut received).is_err());
    let mut received = BytesMut::new();
    received.put_u64_le(1);
    received.put_u8(2);
    received.put_u32_le(0);
    assert!(answers(&mut received).is_err());
}

/// A node's address where every request is answered with a status, and with nothing else once it has
/// been sent something.
async fn node_that_answers(status: StatusCode) -> Result<(Link, String), Error> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now_ms = u64::try_from(now.as_millis())?;
    let identity = |node_id| {
        let authority = Authority::from_seed(&[7; 32])?;
        Identity::node(vec![authority], "test-cluster", node_id, now_ms)
    };
    let (server, client) = (identity(2)?, identity(1)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let accept = TlsAcceptor::from(server.server.clone()).accept(stream);
            let Ok(stream) = accept.await else { return };
            let service = service_fn(move |request: Request<Incoming>| async move {
                let mut body = request.into_body();
                let end = stream::once(async move {
                    let _ = body.frame().await;
                    Ok::<_, std::io::Error>(Frame::data(Bytes::new()))
                });
                let mut response = Response::new(StreamBody::new(end).boxed_unsync());
                *response.status_mut() = status;
                Ok::<_, std::io::Error>(response)
            });
            let serving =
                Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    let link = Link::new(Target {
        name: client.name_of(2)?,
        tls: client.client.clone(),
        from: Some(1),
        ping_timeout: PING_TIMEOUT,
    });
    Ok((link, address))
}

#[tokio::test]
async fn a_node_of_an_older_release_is_asked_one_by_one() -> Result<(), Error> {
    let (link, address) = node_that_answers(StatusCode::NOT_FOUND).await?;
    let asks = Asks::new(path::ASKS);
    for _ in 0..2 {
        let asked = asks.ask(&link, &address, Bytes::new(), TTL).await;
        assert!(matches!(asked, Ok(None)), "{asked:?}");
    }
    Ok(())
}

#[tokio::test]
async fn who_asked_hears_that_the_stream_ended() -> Result<(), Error> {
    let (link, address) = node_that_answers(StatusCode::OK).await?;
    let asks = Asks::new(path::ASKS);
    for _ in 0..2 {
        let asked = asks.ask(&link, &address, Bytes::new(), TTL).await;
        let Err(CallError::Lost(why)) = asked else {
            return Err(format!("{asked:?}").into());
        };
        assert!(!why.contains("in time"), "{why}");
    }
    Ok(())
}

//! Connections cut at any byte of a request, in both protocols and both versions of HTTP: the offset that is told then is
//! taken by the next append, is never smaller than one that was told before, and the file is right at the end.

use std::sync::Arc;

use end_to_end::content::Content;
use end_to_end::random::Random;
use end_to_end::server::{Server, Settings};
use end_to_end::tus::{Client, Upload};
use end_to_end::wire::{Request, http2};
use tokio::task::JoinSet;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Connections that are cut at once.
const TOGETHER: usize = 8;
/// Of a request's head, one byte in so many is tried, others in each run.
const HEAD_STEP: u64 = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Tus,
    Ietf,
}

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Length,
    Chunked,
    Http2,
}

/// How a client goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// It says so, and waits until the server has closed too: nothing of it is under way any more.
    End,
    /// At once: the server may read what was sent only after the next request has come.
    Drop,
}

impl Protocol {
    fn request(self, method: &str, path: &str) -> Request {
        match self {
            Self::Tus => Request::tus(method, path),
            Self::Ietf => Request::new(method, path).header("Upload-Draft-Interop-Version", "8"),
        }
    }

    async fn create(self, client: &Client, content: Content) -> Upload {
        let request = self
            .request("POST", "/files/")
            .header("Upload-Length", content.length.to_string());
        let request = match self {
            Self::Tus => request,
            Self::Ietf => request.header("Upload-Complete", "?0"),
        };
        client.create_by(&request, content).await
    }

    fn append(self, path: &str, offset: u64) -> Request {
        match self {
            Self::Tus => Request::patch(path, offset),
            Self::Ietf => self
                .request("PATCH", path)
                .header("Upload-Offset", offset.to_string())
                .header("Upload-Complete", "?1")
                .header("Content-Type", "application/partial-upload"),
        }
    }

    /// The bytes of an append of the whole file, and where its body's first byte is among them.
    fn bytes(self, carrier: Carrier, upload: &Upload) -> (Vec<u8>, u64) {
        let body = upload.content.whole();
        let request = self.append(&upload.location, 0);
        let bytes = match carrier {
            Carrier::Length => request.body(body).bytes(),
            Carrier::Chunked => request.chunked(body).bytes(),
            Carrier::Http2 => {
                let mut fields = vec![
                    (":method", "PATCH"),
                    (":scheme", "http"),
                    (":path", &upload.location),
                    (":authority", "localhost"),
                    ("upload-offset", "0"),
                ];
                fields.extend(match self {
                    Self::Tus => [
                        ("tus-resumable", "1.0.0"),
                        ("content-type", "application/offset+octet-stream"),
                    ],
                    Self::Ietf => [
                        ("upload-complete", "?1"),
                        ("content-type", "application/partial-upload"),
                    ],
                });
                http2::request(&fields, &body, 20)
            }
        };
        let first = upload.content.bytes(0..upload.content.length.min(16));
        let start = bytes.windows(first.len()).position(|window| window == first);
        (bytes, start.expect("the body is in there") as u64)
    }

    /// Asks where the upload stands, sends the rest, and proves that the file is whole. An append that is still under
    /// way may come in between, once: then the answer says where the upload stands, as a client expects.
    async fn complete(self, client: &Client, upload: &Upload, leave: Leave, case: &str) {
        let length = upload.content.length;
        let mut overtaken = leave == Leave::Drop;
        loop {
            let head = client.ask(upload, &self.request("HEAD", &upload.location)).await;
            let offset = head.offset().unwrap_or_else(|| panic!("{case}: {head:?}"));
            assert!(offset <= length, "{case}: {offset}");
            let done = match self {
                Self::Tus => offset == length,
                Self::Ietf => head.header("Upload-Complete") == Some("?1"),
            };
            if done {
                break;
            }
            let rest = upload.content.bytes(offset..length);
            let answer = client
                .ask(upload, &self.append(&upload.location, offset).body(rest))
                .await;
            if answer.status == 204 {
                assert_eq!(answer.offset(), Some(length), "{case}: {answer:?}");
                break;
            }
            let says_where = match answer.status {
                409 | 423 => answer.offset().is_some_and(|stands| stands > offset),
                // It brought everything.
                400 => self == Self::Ietf && answer.code() == "upload_completed",
                _ => false,
            };
            assert!(
                std::mem::take(&mut overtaken) && says_where,
                "{case}, gone on from {offset}: {answer:?}"
            );
        }
        client.verify(upload).await;
    }
}

/// One case: where a request ends, and how its client leaves.
#[derive(Debug, Clone, Copy)]
struct Cut {
    protocol: Protocol,
    carrier: Carrier,
    at: u64,
    leave: Leave,
}

impl Cut {
    /// Sends the first bytes of an append of the whole file, and goes away.
    async fn make(self, client: &Client, content: Content) {
        let upload = self.protocol.create(client, content).await;
        let (bytes, _) = self.protocol.bytes(self.carrier, &upload);
        let mut wire = client.connect().await;
        // The server may have answered and closed when all of it is there.
        let at = usize::try_from(self.at).expect("a test's request fits memory");
        let _ = wire.send(&bytes[..at]).await;
        if self.leave == Leave::End && wire.finish().await.is_ok() {
            wire.until_closed().await.expect("the server closes");
        }
        drop(wire);
        let case = format!("{self:?} of {}", bytes.len());
        self.protocol.complete(client, &upload, self.leave, &case).await;
    }
}

async fn cut_everywhere(
    settings: Settings,
    carriers: &[Carrier],
    content: Content,
    inside: impl Fn(u64, &mut Random) -> Vec<u64>,
) {
    let server = Server::with(settings).await;
    let client = Arc::new(Client::of(&server));
    let mut random = Random::of_this_run("cuts");
    for protocol in [Protocol::Tus, Protocol::Ietf] {
        for &carrier in carriers {
            let sample = protocol.create(&client, content).await;
            let (bytes, body) = protocol.bytes(carrier, &sample);
            let phase = random.between(0..HEAD_STEP);
            let mut points: Vec<u64> = (0..body)
                .filter(|at| at % HEAD_STEP == phase || at + 5 > body)
                .collect();
            points.extend(inside(body, &mut random));
            points.retain(|point| *point <= bytes.len() as u64);
            let mut running = JoinSet::new();
            for at in points {
                if running.len() == TOGETHER {
                    running
                        .join_next()
                        .await
                        .expect("there are some")
                        .expect("a case holds");
                }
                let client = Arc::clone(&client);
                let leave = if random.once_in(2) { Leave::End } else { Leave::Drop };
                let cut = Cut {
                    protocol,
                    carrier,
                    at,
                    leave,
                };
                running.spawn(async move { cut.make(&client, content).await });
            }
            while let Some(case) = running.join_next().await {
                case.expect("a case holds");
            }
        }
    }
}

#[tokio::test]
async fn small_appends_cut_at_every_byte_of_body_and_framing() {
    let carriers = [Carrier::Length, Carrier::Chunked, Carrier::Http2];
    cut_everywhere(Settings::default(), &carriers, Content::new(1, 60), |body, _| {
        // To the end of the last frame or terminator, and one that asks for more than there is.
        (body..body + 100).collect()
    })
    .await;
}

#[tokio::test]
async fn large_appends_cut_around_reads_writes_and_checkpoints() {
    let settings = Settings::upload(&["checkpoint: 5ms"]);
    let content = Content::new(2, 3 * MIB + 11);
    cut_everywhere(
        settings,
        &[Carrier::Length, Carrier::Chunked],
        content,
        |body, random| {
            let edges = [8 * KIB, 64 * KIB, 128 * KIB, 256 * KIB, MIB, 2 * MIB, content.length];
            let around = edges.iter().flat_map(|edge| [edge - 1, *edge, edge + 1]);
            let mut points: Vec<u64> = around.map(|edge| body + edge).collect();
            points.extend((0..8).map(|_| body + random.between(1..content.length)));
            points
        },
    )
    .await;
}

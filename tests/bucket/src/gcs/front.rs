//! What stands before fake-gcs-server and makes it do as Google does.
//!
//! It takes a request whole before it passes it on: the server reads bodies with its only lock held, so that a body made of
//! another object's bytes would wait for itself. And it refuses what the server does not: composing over what is there, and
//! of what is not.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a client may keep its connection without a word.
const SILENT_WITHIN: Duration = Duration::from_secs(60);

/// A listening front; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct Front {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
}

/// A request that was taken whole.
struct Request {
    /// Its first line and fields but those on the connection, each with its end.
    head: String,
    body: Vec<u8>,
}

impl Front {
    pub(super) fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        std::thread::spawn(move || {
            let composing = Arc::new(Mutex::new(()));
            for client in listener.incoming() {
                if until.load(Ordering::Relaxed) {
                    return;
                }
                // One that was cut off before it was taken is no reason to take no other.
                let Ok(client) = client else { continue };
                let composing = Arc::clone(&composing);
                // Whoever was cut off asks again.
                std::thread::spawn(move || drop(serve(client, server, &composing)));
            }
        });
        Self { address, ended }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // The listener looks when somebody comes.
        drop(TcpStream::connect(self.address));
    }
}

/// Answers the one request of a connection.
fn serve(mut client: TcpStream, server: SocketAddr, composing: &Mutex<()>) -> io::Result<()> {
    client.set_read_timeout(Some(SILENT_WITHIN))?;
    let request = read(&client)?;
    let target = request.head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let composed = path.strip_suffix("/compose");
    // One after another: what is looked at must not change before it is composed.
    let _alone = composed.map(|_| composing.lock().unwrap_or_else(PoisonError::into_inner));
    let refusal = match composed {
        Some(object) => refusal(server, object, query, &request.body)?,
        None => None,
    };
    if let Some((status, reason)) = refusal {
        let body = format!(
            "{{\"error\":{{\"code\":{status},\"message\":\"refused\",\"errors\":[{{\"reason\":\"{reason}\"}}]}}}}"
        );
        let head = format!(
            "HTTP/1.1 {status} Refused\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        client.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    } else {
        let mut answer = pass_on(server, &request)?;
        io::copy(&mut answer, &mut client)?;
    }
    client.shutdown(Shutdown::Write)
}

fn read(client: &TcpStream) -> io::Result<Request> {
    let mut reader = BufReader::new(client);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        match name.to_ascii_lowercase().as_str() {
            "\r\n" => break,
            "connection" => continue,
            "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
            _ => {}
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { head, body })
}

/// Passes a request on; the answer ends with its connection.
fn pass_on(server: SocketAddr, request: &Request) -> io::Result<TcpStream> {
    let mut upstream = TcpStream::connect(server)?;
    upstream.write_all(format!("{}Connection: close\r\n\r\n", request.head).as_bytes())?;
    upstream.write_all(&request.body)?;
    Ok(upstream)
}

/// The status and reason with which Google refuses a composition, if it does.
fn refusal(server: SocketAddr, object: &str, query: &str, body: &[u8]) -> io::Result<Option<(u16, &'static str)>> {
    if query.split('&').any(|pair| pair == "ifGenerationMatch=0") && is_there(server, object)? {
        return Ok(Some((412, "conditionNotMet")));
    }
    let body = String::from_utf8_lossy(body);
    let folder = object.rsplit_once('/').map_or("", |(folder, _)| folder);
    for name in body
        .split("\"name\":\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        if !is_there(server, &format!("{folder}/{}", name.replace('/', "%2F")))? {
            return Ok(Some((404, "notFound")));
        }
    }
    Ok(None)
}

fn is_there(server: SocketAddr, object: &str) -> io::Result<bool> {
    let request = Request {
        head: format!("GET {object} HTTP/1.1\r\nHost: {server}\r\n"),
        body: Vec::new(),
    };
    let mut answer = String::new();
    pass_on(server, &request)?.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1) == Some("200"))
}

//! A server that does what a real one must not: stalls, refuses, makes no sense.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A server of one function.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    /// `METHOD /path` of each request.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

/// What it got.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) length: u64,
    /// How many of this method came before.
    pub(crate) before: usize,
}

/// What it does about it.
pub(crate) enum Reply {
    /// Reads the body, then sends these lines as the head, and a body.
    Answer(String, String),
    /// Reads the body and says nothing.
    Silence,
    /// Does not even read.
    Stall,
}

pub(crate) fn answer(head: impl Into<String>) -> Reply {
    Reply::Answer(head.into(), String::new())
}

impl Fake {
    pub(crate) fn start(reply: impl Fn(&Request<'_>) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, reply) = (Arc::clone(&requests), Arc::new(reply));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
                std::thread::spawn(move || drop(serve(client.unwrap(), &log, &*reply)));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn serve(client: TcpStream, log: &Mutex<Vec<String>>, reply: &dyn Fn(&Request<'_>) -> Reply) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut client = client;
    loop {
        let (mut line, mut length) = (String::new(), 0);
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim_end().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
            if header.is_empty() {
                break;
            }
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let before = {
            let mut log = log.lock().unwrap();
            log.push(format!("{method} {path}"));
            log.iter().filter(|line| line.starts_with(method)).count() - 1
        };
        let did = reply(&Request {
            method,
            path,
            length,
            before,
        });
        let (head, body) = match did {
            Reply::Stall => loop {
                std::thread::park();
            },
            Reply::Silence => {
                std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
                loop {
                    std::thread::park();
                }
            }
            Reply::Answer(head, body) => {
                std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
                (head, body)
            }
        };
        write!(
            client,
            "HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
}

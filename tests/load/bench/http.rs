//! A connection that is kept open.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Http {
    stream: TcpStream,
    received: Vec<u8>,
}

/// The status of an answer, and its body.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The body of a 200; anything else ends the measurement.
    pub fn ok(&self) -> &[u8] {
        assert_eq!(self.status, 200, "the server answered: {}", String::from_utf8_lossy(self.body));
        self.body
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(self.ok()).expect("the body is JSON")
    }
}

impl Http {
    pub async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(64 * 1024) })
    }

    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let head = loop {
            if let Some(end) = end_of_head(&self.received) {
                break end;
            }
            self.read().await?;
        };
        let (status, length) = read_head(&self.received[..head])
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a head without status or length"))?;
        while self.received.len() < head + length {
            self.read().await?;
        }
        Ok(Answer { status, body: &self.received[head..head + length] })
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

fn end_of_head(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn read_head(head: &[u8]) -> Option<(u16, usize)> {
    let head = str::from_utf8(head).ok()?;
    let status = head.get(9..12)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((status, length?))
}

pub fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
    format!("GET {path} HTTP/1.1\r\nhost: bench\r\n{authorization}\r\n").into_bytes()
}

pub fn post(path: &str, token: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

//! HTTP/1.1, one connection for each request.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// No answer may take longer.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A server's address and the token to use there.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: String,
    pub token: String,
}

/// A status, headers and a body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    head: String,
}

impl Answer {
    /// A header's value; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(':'));
        headers.find(|(other, _)| other.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The `data` of a success; anything else fails the test.
    #[track_caller]
    pub fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["data"].clone()
    }

    #[track_caller]
    pub fn id(&self) -> String {
        self.data()["id"].as_str().expect("data.id").to_owned()
    }
}

impl Client {
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, body).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    pub fn try_get(&self, path: &str) -> Result<Answer> {
        let mut stream = self.connect()?;
        write!(stream, "GET {path} HTTP/1.1\r\n{}\r\n", self.headers())?;
        answer(stream)
    }

    pub fn try_post(&self, path: &str, body: &Value) -> Result<Answer> {
        let body = body.to_string();
        let mut stream = self.begin_post(path, body.len())?;
        stream.write_all(body.as_bytes())?;
        answer(stream)
    }

    /// A POST under an `Idempotency-Key`.
    pub fn try_keyed(&self, key: &str, path: &str, body: &Value) -> Result<Answer> {
        answer(self.begin_keyed(key, path, body)?)
    }

    /// The whole request, whose answer is not waited for.
    pub fn begin_keyed(&self, key: &str, path: &str, body: &Value) -> Result<TcpStream> {
        let body = body.to_string();
        let mut stream = self.begin(&format!("idempotency-key: {key}\r\n"), path, body.len())?;
        stream.write_all(body.as_bytes())?;
        Ok(stream)
    }

    /// A GET with more headers, each with its line end.
    #[track_caller]
    pub fn get_with(&self, more: &str, path: &str) -> Answer {
        let mut stream = self.connect().expect("a connection");
        write!(stream, "GET {path} HTTP/1.1\r\n{}{more}\r\n", self.headers()).expect("a request");
        answer(stream).unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Sends everything but the body.
    pub fn begin_post(&self, path: &str, length: usize) -> Result<TcpStream> {
        self.begin("", path, length)
    }

    /// Sends everything but the body, with more headers, each with its line end.
    pub fn begin(&self, more: &str, path: &str, length: usize) -> Result<TcpStream> {
        let mut stream = self.connect()?;
        let headers = self.headers();
        let head = format!(
            "POST {path} HTTP/1.1\r\n{headers}{more}content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    }

    pub fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(stream)
    }

    fn headers(&self) -> String {
        format!("host: {}\r\nauthorization: Bearer {}\r\nconnection: close\r\n", self.address, self.token)
    }
}

/// Reads the whole answer; one that breaks off is an error.
pub fn answer(mut stream: TcpStream) -> Result<Answer> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let broken = || Error::new(ErrorKind::UnexpectedEof, format!("an answer that breaks off: {text}"));
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(broken)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    if length != Some(body.len()) {
        return Err(broken());
    }
    Ok(Answer { status, text: body.to_owned(), head: head.to_owned() })
}

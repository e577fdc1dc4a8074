//! A connection byte by byte: for clients that no library would be.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::DEADLINE;

pub struct Socket(TcpStream);

impl Socket {
    pub async fn open(address: &str) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// Whether it could still be sent.
    pub async fn send(&mut self, text: &str) -> bool {
        self.0.write_all(text.as_bytes()).await.is_ok()
    }

    /// Sends no more, and waits for what comes.
    pub async fn has_sent_all(&mut self) {
        self.0.shutdown().await.unwrap();
    }

    /// Everything until the server closes, and how long that took.
    pub async fn until_closed(&mut self) -> (String, Duration) {
        let (begun, mut read) = (Instant::now(), Vec::new());
        // A reset is a close, too.
        let _ = timeout(DEADLINE, self.0.read_to_end(&mut read)).await.expect("the server closes");
        (String::from_utf8_lossy(&read).into_owned(), begun.elapsed())
    }

    /// What there is of an answer once its header is there.
    pub async fn answer(&mut self) -> String {
        let (mut read, mut buffer) = (String::new(), [0; 4096]);
        while !read.contains("\r\n\r\n") {
            let more = timeout(DEADLINE, self.0.read(&mut buffer)).await.expect("an answer").unwrap_or(0);
            assert!(more > 0, "closed after: {read}");
            read.push_str(&String::from_utf8_lossy(&buffer[..more]));
        }
        read
    }

    /// Sends one request and gives the whole answer.
    pub async fn ask(address: &str, request: &str) -> String {
        let mut socket = Self::open(address).await;
        socket.send(request).await;
        socket.until_closed().await.0
    }
}

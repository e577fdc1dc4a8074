//! A connection's bytes. Whoever sends or takes them too slowly is cut off.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use crate::client::Client;

pub struct Stream {
    tcp: TcpStream,
    client: Arc<Client>,
    read_alarm: Alarm,
    write_alarm: Alarm,
}

impl Stream {
    pub fn new(tcp: TcpStream, client: Arc<Client>) -> Self {
        Self { tcp, client, read_alarm: Alarm::default(), write_alarm: Alarm::default() }
    }

    /// The same result, unless the client has let us wait for too long.
    fn written(
        &mut self,
        result: Poll<io::Result<usize>>,
        of: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if matches!(result, Poll::Ready(Ok(written)) if written == of) {
            self.client.takes_all();
            return result;
        }
        match self.write_alarm.rings(self.client.stalls(), cx) {
            true => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            false => result,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.tcp).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.client.sends();
        }
        match this.client.bytes_due() {
            Some(due) if this.read_alarm.rings(due, cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => result,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.tcp).poll_write(cx, bytes);
        this.written(result, bytes.len(), cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.tcp).poll_write_vectored(cx, slices);
        this.written(result, slices.iter().map(|slice| slice.len()).sum(), cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

/// Wakes whoever waits when a moment has come that may still be moved.
#[derive(Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    pub fn rings(&mut self, due: Instant, cx: &mut Context<'_>) -> bool {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx).is_ready()
    }
}

//! A socket that watches its other side.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::limits::Limits;

/// Length of the HTTP/2 preface: what has to be read before it is known which version a client speaks.
const PREFACE: usize = 24;

/// A socket that fails when its other side stands still: before the first bytes, or while it takes nothing of what is
/// sent.
pub(super) struct Watched {
    stream: TcpStream,
    stall_time: Duration,
    /// Bytes of the preface that are still to come, and until when.
    preface: usize,
    preface_until: Pin<Box<Sleep>>,
    /// Until when a write that is waiting may wait.
    write_until: Option<Pin<Box<Sleep>>>,
}

fn stood_still() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the other side stood still")
}

impl Watched {
    pub(super) fn new(stream: TcpStream, limits: Limits) -> Self {
        Self {
            stream,
            stall_time: limits.stall_time,
            preface: PREFACE,
            preface_until: Box::pin(sleep(limits.header_time)),
            write_until: None,
        }
    }

    /// Passes the result of a write on, unless it has been waiting for too long.
    fn watch_write<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_until = None;
            return written;
        }
        let until = Instant::now() + self.stall_time;
        let deadline = self.write_until.get_or_insert_with(|| Box::pin(sleep_until(until)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(stood_still()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.preface == 0 {
            return read;
        }
        if read.is_ready() {
            self.preface = self.preface.saturating_sub(buffer.filled().len().saturating_sub(before));
            return read;
        }
        ready!(self.preface_until.as_mut().poll(context));
        Poll::Ready(Err(stood_still()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch_write(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch_write(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch_write(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch_write(shut, context)
    }
}

//! What stands in for TLS in a build without it: a layer that cannot exist, so that none of this is ever called.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use crate::connection::Connection;

pub(crate) enum Layer {}

impl Layer {
    pub(crate) fn has_more(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_parting(&self) -> bool {
        match *self {}
    }

    pub(crate) fn backlog(&self) -> usize {
        match *self {}
    }
}

impl Connection {
    pub(crate) fn poll_open(
        &self,
        tls: &Layer,
        _cx: &mut Context<'_>,
        _room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match *tls {}
    }

    pub(crate) fn seal(&self, tls: &Layer, _slices: &[IoSlice<'_>]) {
        match *tls {}
    }

    pub(crate) fn end_sealed(&self, tls: &Layer) {
        match *tls {}
    }

    pub(crate) fn say_goodbye(&self, tls: &Layer) -> bool {
        match *tls {}
    }

    pub(crate) fn await_goodbye(&self, tls: &Layer) {
        match *tls {}
    }
}

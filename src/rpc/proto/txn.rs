//! Transactions in `Request` frames: compares and operations.

use serde::{Deserialize, Serialize};

use super::WireKeyRange;
use super::request::{WireDelete, WireGet, WireRange, WireSet};
use crate::model::{Blob, Compare, CompareOp, CompareTarget, TxnOp};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WireCompare<'a> {
    #[serde(borrow)]
    range: WireKeyRange<'a>,
    op: WireCompareOp,
    #[serde(borrow)]
    target: WireCompareTarget<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireCompareOp {
    Equal,
    NotEqual,
    Less,
    Greater,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireCompareTarget<'a> {
    Value(#[serde(borrow, with = "serde_bytes")] &'a [u8]),
    Version(u64),
    CreateRevision(u64),
    ModRevision(u64),
    Lease(u64),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum WireTxnOp<'a> {
    Set(#[serde(borrow)] WireSet<'a>),
    Get(#[serde(borrow)] WireGet<'a>),
    Range(#[serde(borrow)] WireRange<'a>),
    Delete(#[serde(borrow)] WireDelete<'a>),
}

impl From<WireCompare<'_>> for Compare {
    fn from(wire: WireCompare<'_>) -> Self {
        Self {
            range: wire.range.into(),
            op: match wire.op {
                WireCompareOp::Equal => CompareOp::Equal,
                WireCompareOp::NotEqual => CompareOp::NotEqual,
                WireCompareOp::Less => CompareOp::Less,
                WireCompareOp::Greater => CompareOp::Greater,
            },
            target: match wire.target {
                WireCompareTarget::Value(value) => CompareTarget::Value(Blob::from(value)),
                WireCompareTarget::Version(version) => CompareTarget::Version(version),
                WireCompareTarget::CreateRevision(revision) => {
                    CompareTarget::CreateRevision(revision)
                }
                WireCompareTarget::ModRevision(revision) => CompareTarget::ModRevision(revision),
                WireCompareTarget::Lease(lease) => CompareTarget::Lease(lease),
            },
        }
    }
}

impl<'a> From<&'a Compare> for WireCompare<'a> {
    fn from(compare: &'a Compare) -> Self {
        Self {
            range: (&compare.range).into(),
            op: match compare.op {
                CompareOp::Equal => WireCompareOp::Equal,
                CompareOp::NotEqual => WireCompareOp::NotEqual,
                CompareOp::Less => WireCompareOp::Less,
                CompareOp::Greater => WireCompareOp::Greater,
            },
            target: match &compare.target {
                CompareTarget::Value(value) => WireCompareTarget::Value(value),
                CompareTarget::Version(version) => WireCompareTarget::Version(*version),
                CompareTarget::CreateRevision(revision) => {
                    WireCompareTarget::CreateRevision(*revision)
                }
                CompareTarget::ModRevision(revision) => WireCompareTarget::ModRevision(*revision),
                CompareTarget::Lease(lease) => WireCompareTarget::Lease(*lease),
            },
        }
    }
}

impl From<WireTxnOp<'_>> for TxnOp {
    fn from(wire: WireTxnOp<'_>) -> Self {
        match wire {
            WireTxnOp::Set(set) => Self::Set(set.into()),
            WireTxnOp::Get(get) => Self::Get(get.into()),
            WireTxnOp::Range(range) => Self::Range(range.into()),
            WireTxnOp::Delete(delete) => Self::Delete(delete.into()),
        }
    }
}

impl<'a> From<&'a TxnOp> for WireTxnOp<'a> {
    fn from(op: &'a TxnOp) -> Self {
        match op {
            TxnOp::Set(set) => Self::Set(set.into()),
            TxnOp::Get(get) => Self::Get(get.into()),
            TxnOp::Range(range) => Self::Range(range.into()),
            TxnOp::Delete(delete) => Self::Delete(delete.into()),
        }
    }
}

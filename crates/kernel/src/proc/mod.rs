//! The guest's world in names: /proc, and the parts of /sys that say what the machine is.
//!
//! The tree is not stored anywhere: a [`Node`] is a path and what is there, found anew by each walk (`resolve`). The
//! names of a process's directory are rows of data (`rows`), each with the function that writes the file. An open file
//! or directory of the tree is a host descriptor that *stands in* for it ([`host::StandIns`]): it carries the path, so
//! whatever guests do with descriptors keeps working, and its text is made when it is read from its start (`open`).
//! What tells nothing of the host that is not the guest's as well (mounts, control groups, name spaces) is the host's
//! own, read through the thread that it is about.
//!
//! Texts with many lines that Linux versions change are the host's lines with our values in place of its
//! (`template`): the same keys, in the same order, on whatever host this runs.

mod accounts;
mod controls;
mod list;
mod load;
mod locks;
mod machine;
mod memory;
mod node;
mod numbers;
mod open;
mod processors;
mod resolve;
mod rows;
mod status;
mod system;
mod template;
mod words;

pub(crate) use list::Layout;
pub(crate) use load::LoadAverage;
pub(crate) use node::{Directory, Link, Node, What};
pub(crate) use open::Content;
pub(crate) use resolve::{Found, LastLink};

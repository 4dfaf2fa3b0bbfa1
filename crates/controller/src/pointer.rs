//! Where a JSON body is wrong.

use serde_path_to_error::{Path, Segment};

/// A path of `serde_path_to_error` as JSON pointer (RFC 6901).
pub(crate) fn pointer(path: &Path) -> String {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(index.to_string()),
            Segment::Map { key } => Some(key.clone()),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .map(|part| format!("/{}", part.replace('~', "~0").replace('/', "~1")))
        .collect()
}

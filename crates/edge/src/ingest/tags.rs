//! FLV tags into a feed, whether they come by RTMP or as a stream of FLV.

use headworks_media::{
    Error,
    flv::{Demuxer, Tag, TagKind},
};
use headworks_rtmp::{Media, MediaKind};

use super::Feed;

/// Understands the tags of one session.
#[derive(Default)]
pub(crate) struct Tags(Demuxer);

impl Tags {
    /// Takes the content of an RTMP message.
    pub(crate) fn take_rtmp(&mut self, media: &Media, feed: &mut Feed) -> Result<(), Error> {
        let kind = match media.kind {
            MediaKind::Audio => TagKind::Audio,
            MediaKind::Video => TagKind::Video,
            MediaKind::Data => TagKind::Script,
        };
        let taken = self.0.push(kind, media.timestamp, &media.payload);
        self.drain(feed);
        taken
    }

    /// Takes a tag of a file or an HTTP answer.
    pub(super) fn take(&mut self, tag: &Tag, feed: &mut Feed) -> Result<(), Error> {
        let taken = self.0.push(tag.kind, tag.timestamp, &tag.body);
        self.drain(feed);
        taken
    }

    /// Nothing follows; what waited for more is given out.
    pub(crate) fn finish(mut self, feed: &mut Feed) {
        self.0.finish();
        self.drain(feed);
    }

    fn drain(&mut self, feed: &mut Feed) {
        while let Some(found) = self.0.poll() {
            feed.take(found);
        }
    }
}

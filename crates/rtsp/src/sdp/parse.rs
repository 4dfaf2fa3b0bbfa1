//! Reads descriptions.

use super::{
    Description, Direction, Error, Fmtp, Format, Kind, LONGEST, MOST_ATTRIBUTES, MOST_FORMATS,
    MOST_MEDIA, Media,
};

pub(super) fn parse(text: &[u8]) -> Result<Description, Error> {
    if text.len() > LONGEST {
        return Err(Error::TooLong { length: text.len() });
    }
    let text = String::from_utf8_lossy(text);
    let mut found = Description::default();
    let mut offset = 0;
    for line in text.split(['\n', '\r', '\0']) {
        if let Some((key, value)) = key_and_value(line) {
            take_line(&mut found, key, value, offset)?;
        }
        offset += line.len() + 1;
    }
    if found.media.is_empty() {
        return Err(Error::NoMedia {
            length: text.len(),
            head: text.chars().take(40).collect(),
        });
    }
    let inherited = found.direction;
    for media in &mut found.media {
        if media.direction == Direction::SendRecv {
            media.direction = inherited;
        }
    }
    Ok(found)
}

/// `x=value`; blanks around are forgiven.
fn key_and_value(line: &str) -> Option<(char, &str)> {
    let (key, value) = line.split_once('=')?;
    let mut key = key.trim().chars();
    match (key.next(), key.next()) {
        (Some(key), None) => Some((key.to_ascii_lowercase(), value.trim())),
        _ => None,
    }
}

fn take_line(found: &mut Description, key: char, value: &str, offset: usize) -> Result<(), Error> {
    let is_full = found.media.len() >= MOST_MEDIA;
    match (key, found.media.last_mut()) {
        ('s', None) => value.clone_into(&mut found.name),
        ('m', _) if is_full => return Err(Error::TooManyMedia { offset }),
        ('m', _) => found.media.extend(media(value)),
        ('b', Some(media)) => {
            if let Some(rate) = value.strip_prefix("AS:") {
                media.bandwidth = rate.trim().parse().ok();
            }
        }
        ('a', Some(media)) => media_attribute(media, value),
        ('a', None) => session_attribute(found, value),
        _ => {}
    }
    Ok(())
}

/// `video 0 RTP/AVP 96 97`; a port may carry a count (`0/2`), and may be missing.
fn media(value: &str) -> Option<Media> {
    let mut words = value.split_whitespace().peekable();
    let kind = match words.next()? {
        word if word.eq_ignore_ascii_case("video") => Kind::Video,
        word if word.eq_ignore_ascii_case("audio") => Kind::Audio,
        word => Kind::Other(word.to_ascii_lowercase()),
    };
    let port = words.next_if(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let port = port.and_then(|word| word.split('/').next()?.parse().ok());
    let protocol = words.next().unwrap_or("RTP/AVP").to_owned();
    let formats = words
        .filter_map(|word| word.parse().ok())
        .filter(|payload_type: &u8| *payload_type < 128)
        .take(MOST_FORMATS);
    Some(Media {
        kind,
        port: port.unwrap_or(0),
        protocol,
        formats: formats.map(Format::fixed).collect(),
        control: None,
        direction: Direction::default(),
        bandwidth: None,
        attributes: Vec::new(),
    })
}

/// `name:value`, or `name`.
fn name_and_value(attribute: &str) -> (String, &str) {
    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
    (name.trim().to_ascii_lowercase(), value.trim())
}

fn direction(name: &str) -> Option<Direction> {
    [
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ]
    .into_iter()
    .find(|direction| direction.to_string() == name)
}

fn session_attribute(found: &mut Description, attribute: &str) {
    let (name, value) = name_and_value(attribute);
    match &*name {
        "control" => found.control = Some(value.to_owned()),
        "range" => found.range = Some(value.to_owned()),
        name => match direction(name) {
            Some(direction) => found.direction = direction,
            None => keep(&mut found.attributes, name, value),
        },
    }
}

fn media_attribute(media: &mut Media, attribute: &str) {
    let (name, value) = name_and_value(attribute);
    match &*name {
        "control" => media.control = Some(value.to_owned()),
        "rtpmap" => rtpmap(media, value),
        "fmtp" => fmtp(media, value),
        name => match direction(name) {
            Some(direction) => media.direction = direction,
            None => keep(&mut media.attributes, name, value),
        },
    }
}

fn keep(attributes: &mut Vec<(String, String)>, name: &str, value: &str) {
    if attributes.len() < MOST_ATTRIBUTES && !name.is_empty() {
        attributes.push((name.to_owned(), value.to_owned()));
    }
}

/// The payload type before a value, and the rest.
fn payload_type(value: &str) -> Option<(u8, &str)> {
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    let payload_type = value[..end].parse().ok().filter(|t: &u8| *t < 128)?;
    Some((payload_type, value[end..].trim()))
}

/// The format of a payload type. One that the `m=` line does not list is added: some cameras
/// list none or another.
fn format(media: &mut Media, payload_type: u8) -> Option<&mut Format> {
    let place = |f: &Format| f.payload_type == payload_type;
    let at = match media.formats.iter().position(place) {
        Some(at) => at,
        None if media.formats.len() < MOST_FORMATS => {
            media.formats.push(Format::fixed(payload_type));
            media.formats.len() - 1
        }
        None => return None,
    };
    media.formats.get_mut(at)
}

/// `96 H264/90000` or `97 MPEG4-GENERIC/48000/2` (RFC 8866 §6.6).
fn rtpmap(media: &mut Media, value: &str) {
    let Some((number, rest)) = payload_type(value) else {
        return;
    };
    let mut parts = rest.split('/').map(str::trim);
    let codec = parts.next().unwrap_or_default().to_ascii_uppercase();
    let clock_rate = parts.next().and_then(|rate| rate.parse().ok());
    let channels = parts.next().and_then(|count| count.parse().ok());
    if let Some(format) = format(media, number)
        && !codec.is_empty()
    {
        format.codec = codec;
        format.clock_rate = clock_rate.unwrap_or(format.clock_rate);
        format.channels = channels.or(format.channels);
    }
}

/// `96 packetization-mode=1;sprop-parameter-sets=…`. A second one for the same payload type adds
/// to the first.
fn fmtp(media: &mut Media, value: &str) {
    if let Some((number, text)) = payload_type(value)
        && let Some(Format {
            fmtp: Fmtp(all), ..
        }) = format(media, number)
    {
        if !all.is_empty() {
            all.push(';');
        }
        all.push_str(text);
    }
}

//! Writes descriptions.

use std::fmt;

use super::{Description, Direction, Format, Media};

/// A value on one line.
struct Line<'a>(&'a str);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split(char::is_control) {
            f.write_str(part)?;
        }
        Ok(())
    }
}

impl fmt::Display for Description {
    /// The whole text. The order of lines is that of RFC 8866 §5.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() {
            "-"
        } else {
            &self.name
        };
        f.write_str("v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\n")?;
        write!(f, "s={}\r\n", Line(name))?;
        f.write_str("c=IN IP4 0.0.0.0\r\nt=0 0\r\n")?;
        if let Some(control) = &self.control {
            write!(f, "a=control:{}\r\n", Line(control))?;
        }
        if let Some(range) = &self.range {
            write!(f, "a=range:{}\r\n", Line(range))?;
        }
        write_direction(f, self.direction)?;
        write_attributes(f, &self.attributes)?;
        self.media
            .iter()
            .try_for_each(|media| write_media(f, media))
    }
}

fn write_direction(f: &mut fmt::Formatter<'_>, direction: Direction) -> fmt::Result {
    match direction {
        Direction::SendRecv => Ok(()),
        told => write!(f, "a={told}\r\n"),
    }
}

fn write_attributes(f: &mut fmt::Formatter<'_>, attributes: &[(String, String)]) -> fmt::Result {
    for (name, value) in attributes {
        let colon = if value.is_empty() { "" } else { ":" };
        write!(f, "a={}{colon}{}\r\n", Line(name), Line(value))?;
    }
    Ok(())
}

fn write_media(f: &mut fmt::Formatter<'_>, media: &Media) -> fmt::Result {
    let kind = media.kind.to_string();
    write!(
        f,
        "m={} {} {}",
        Line(&kind),
        media.port,
        Line(&media.protocol)
    )?;
    for format in &media.formats {
        write!(f, " {}", format.payload_type)?;
    }
    f.write_str("\r\n")?;
    if let Some(rate) = media.bandwidth {
        write!(f, "b=AS:{rate}\r\n")?;
    }
    media
        .formats
        .iter()
        .try_for_each(|format| write_format(f, format))?;
    write_direction(f, media.direction)?;
    write_attributes(f, &media.attributes)?;
    match &media.control {
        Some(control) => write!(f, "a=control:{}\r\n", Line(control)),
        None => Ok(()),
    }
}

fn write_format(f: &mut fmt::Formatter<'_>, format: &Format) -> fmt::Result {
    let number = format.payload_type;
    if !format.codec.is_empty() {
        write!(
            f,
            "a=rtpmap:{number} {}/{}",
            Line(&format.codec),
            format.clock_rate
        )?;
        // One channel needs not be told, and some parsers trip over it (RFC 8866 §6.6).
        match format.channels {
            Some(channels) if channels > 1 => write!(f, "/{channels}\r\n")?,
            _ => f.write_str("\r\n")?,
        }
    }
    if !format.fmtp.0.is_empty() {
        write!(f, "a=fmtp:{number} {}\r\n", Line(&format.fmtp.0))?;
    }
    Ok(())
}

//! What a target asks for, as it is typed. Secrets come from files, so that other users of the
//! machine do not see them among its processes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use headworks_types::{
    AlibabaVariant, Credentials, RestreamAudio, RestreamSigning, RestreamVideo, Secret,
    SigningKeySlot, TencentHash, Transport, UrlRenewal, X264Preset,
};

use crate::{
    failure::Failure,
    operator::{seconds, secret_file},
};

/// What a target asks for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct Target {
    /// How RTP travels, if the target speaks RTSP
    #[arg(long, value_enum, default_value_t = TransportName::Tcp)]
    transport: TransportName,
    /// Take any certificate of the target
    #[arg(long)]
    insecure: bool,
    /// User name at an RTSP target
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// File with the password at an RTSP target
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<PathBuf>,
    /// File with the target's stream key, which comes after the URL and a slash
    #[arg(long, value_name = "FILE")]
    stream_key_file: Option<PathBuf>,
    /// How the URL is signed when the push connects
    #[arg(long, value_enum, default_value_t = SigningName::None)]
    signing: SigningName,
    /// File with the secret query of `--signing query`
    #[arg(long, value_name = "FILE")]
    query_file: Option<PathBuf>,
    /// File with the primary key that signs
    #[arg(long, value_name = "FILE")]
    signing_key_file: Option<PathBuf>,
    /// File with the secondary key
    #[arg(long, value_name = "FILE", requires = "signing_key_file")]
    secondary_key_file: Option<PathBuf>,
    /// Sign with the secondary key
    #[arg(long, requires = "secondary_key_file")]
    use_secondary_key: bool,
    /// For how long a signed URL is good
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds)]
    lifetime: u32,
    /// Connect anew before the signed URL expires
    #[arg(long)]
    renew: bool,
    /// Encode the video anew as H.264 with so many kilobits per second
    #[arg(long, value_name = "KBIT")]
    h264_kbit: Option<u32>,
    /// Speed of the encoder
    #[arg(long, value_enum, default_value_t = PresetName::Veryfast, requires = "h264_kbit")]
    preset: PresetName,
    /// Frames from one key frame to the next
    #[arg(long, value_name = "FRAMES", requires = "h264_kbit")]
    gop: Option<u16>,
    /// Width of the encoded picture
    #[arg(long, value_name = "PIXELS", requires = "h264_kbit")]
    width: Option<u16>,
    /// Height of the encoded picture
    #[arg(long, value_name = "PIXELS", requires = "h264_kbit")]
    height: Option<u16>,
    /// Encode the audio as AAC
    #[arg(long)]
    aac: bool,
    /// Do not start it
    #[arg(long)]
    stopped: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TransportName {
    Tcp,
    Udp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SigningName {
    None,
    /// The same secret query with each URL
    Query,
    /// Alibaba Cloud: `auth_key` in the query (ApsaraVideo Live)
    AlibabaA,
    /// Alibaba Cloud: time and hash before the path
    AlibabaB,
    /// Alibaba Cloud: hash and time before the path
    AlibabaC,
    /// Tencent Cloud: `txSecret` with MD5
    TencentMd5,
    /// Tencent Cloud: `txSecret` with SHA-256
    TencentSha256,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PresetName {
    Ultrafast,
    Superfast,
    Veryfast,
    Faster,
    Fast,
    Medium,
}

impl Target {
    pub(super) fn transport(&self) -> Transport {
        match self.transport {
            TransportName::Tcp => Transport::Tcp,
            TransportName::Udp => Transport::Udp,
        }
    }

    pub(super) fn tls_verify(&self) -> bool {
        !self.insecure
    }

    pub(super) fn enabled(&self) -> bool {
        !self.stopped
    }

    pub(super) fn audio(&self) -> RestreamAudio {
        if self.aac {
            RestreamAudio::Aac
        } else {
            RestreamAudio::Copy
        }
    }

    pub(super) fn credentials(&self) -> Result<Option<Credentials>, Failure> {
        let (Some(username), Some(path)) = (&self.username, &self.password_file) else {
            return Ok(None);
        };
        Ok(Some(Credentials {
            username: username.clone(),
            password: secret_file(path)?,
        }))
    }

    pub(super) fn stream_key(&self) -> Result<Option<Secret>, Failure> {
        read(self.stream_key_file.as_ref())
    }

    pub(super) fn video(&self) -> Result<RestreamVideo, Failure> {
        let Some(bitrate_kbit) = self.h264_kbit else {
            return Ok(RestreamVideo::Copy);
        };
        let mut video = serde_json::json!({"type": "h264", "bitrate_kbit": bitrate_kbit});
        if let Some(gop) = self.gop {
            video["gop"] = gop.into();
        }
        let mut video = serde_json::from_value(video).map_err(Failure::from_error)?;
        if let RestreamVideo::H264 {
            preset,
            width,
            height,
            ..
        } = &mut video
        {
            *preset = self.preset.preset();
            (*width, *height) = (self.width, self.height);
        }
        Ok(video)
    }

    pub(super) fn signing(&self) -> Result<RestreamSigning, Failure> {
        let query = read(self.query_file.as_ref())?;
        let primary_key = read(self.signing_key_file.as_ref())?;
        let secondary_key = read(self.secondary_key_file.as_ref())?;
        let is_signed = !matches!(self.signing, SigningName::None | SigningName::Query);
        for (given, needed, option) in [
            (
                query.is_some(),
                self.signing == SigningName::Query,
                "--query-file",
            ),
            (primary_key.is_some(), is_signed, "--signing-key-file"),
        ] {
            if given != needed {
                let verb = if needed { "needs" } else { "does not take" };
                return Err(Failure::user(format!(
                    "this --signing {verb} {option}; see `headworks restream create --help`"
                )));
            }
        }
        let key = if self.use_secondary_key {
            SigningKeySlot::Secondary
        } else {
            SigningKeySlot::Primary
        };
        let renew = if self.renew {
            UrlRenewal::ReconnectBeforeExpiry
        } else {
            UrlRenewal::Never
        };
        let lifetime_seconds = self.lifetime;
        let alibaba = |variant, primary_key, secondary_key| RestreamSigning::Alibaba {
            variant,
            primary_key,
            secondary_key,
            key,
            uid: "0".to_owned(),
            lifetime_seconds,
            renew,
        };
        let tencent = |hash, primary_key, secondary_key| RestreamSigning::Tencent {
            hash,
            primary_key,
            secondary_key,
            key,
            lifetime_seconds,
            renew,
        };
        let (one, two) = (primary_key, secondary_key);
        Ok(match self.signing {
            SigningName::None => RestreamSigning::None,
            SigningName::Query => RestreamSigning::Query { query },
            SigningName::AlibabaA => alibaba(AlibabaVariant::A, one, two),
            SigningName::AlibabaB => alibaba(AlibabaVariant::B, one, two),
            SigningName::AlibabaC => alibaba(AlibabaVariant::C, one, two),
            SigningName::TencentMd5 => tencent(TencentHash::Md5, one, two),
            SigningName::TencentSha256 => tencent(TencentHash::Sha256, one, two),
        })
    }
}

impl PresetName {
    fn preset(self) -> X264Preset {
        match self {
            Self::Ultrafast => X264Preset::Ultrafast,
            Self::Superfast => X264Preset::Superfast,
            Self::Veryfast => X264Preset::Veryfast,
            Self::Faster => X264Preset::Faster,
            Self::Fast => X264Preset::Fast,
            Self::Medium => X264Preset::Medium,
        }
    }
}

fn read(path: Option<&PathBuf>) -> Result<Option<Secret>, Failure> {
    path.map(|path| secret_file(path)).transpose()
}

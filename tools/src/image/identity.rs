//! What is in an image beside its files, made such that the same files give the same bytes: one time and identifiers.
//!
//! The time is that of SOURCE_DATE_EPOCH (<https://reproducible-builds.org/specs/source-date-epoch/>), or a constant. An identifier
//! has to tell two media apart that are in one machine, so that it is a hash of what the files are called and how long they are:
//! their bytes would take a second per GB.

use std::env;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Datelike, Timelike, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::contents::Contents;

/// The variable, and the time where it is not set: 2026-01-01, 00:00:00 UTC.
const VARIABLE: &str = "SOURCE_DATE_EPOCH";
const DEFAULT_SECONDS: i64 = 1_767_225_600;

/// The years that a FAT directory can tell (Microsoft's FAT specification, "Date and Time Formats").
const YEARS: std::ops::RangeInclusive<i32> = 1980..=2107;

/// The one time that everything in an image has, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(DateTime<Utc>);

impl Epoch {
    /// Return the time that the environment asks for.
    pub(super) fn of_environment() -> Result<Self> {
        match env::var(VARIABLE) {
            Ok(text) => Self::parse(&text),
            Err(_) => Self::parse(&DEFAULT_SECONDS.to_string()),
        }
    }

    /// Return the time that is `text` seconds after 1970 began.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let time = text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let time =
            time.with_context(|| format!("{VARIABLE}: expected seconds since 1970, found {text:?}"))?;
        ensure!(
            YEARS.contains(&time.year()),
            "{VARIABLE} is in the year {}; a FAT file system knows those from {} to {}",
            time.year(),
            YEARS.start(),
            YEARS.end()
        );
        Ok(Self(time))
    }

    /// Return the seconds since 1970.
    pub(super) fn seconds(self) -> i64 {
        self.0.timestamp()
    }
}

impl fatfs::TimeProvider for Epoch {
    fn get_current_date(&self) -> fatfs::Date {
        // None is over its type: the constructor saw to the year.
        fatfs::Date { year: self.0.year() as u16, month: self.0.month() as u16, day: self.0.day() as u16 }
    }

    fn get_current_date_time(&self) -> fatfs::DateTime {
        let (hour, min, sec) = (self.0.hour() as u16, self.0.minute() as u16, self.0.second() as u16);
        fatfs::DateTime { date: self.get_current_date(), time: fatfs::Time { hour, min, sec, millis: 0 } }
    }
}

/// The time and the identifiers of an image.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) epoch: Epoch,
    contents: Sha256,
}

impl Identity {
    pub(super) fn new(epoch: Epoch, contents: &Contents) -> Self {
        let mut hash = Sha256::new();
        for entry in &contents.entries {
            hash.update(format!("{}\n{}\n", entry.path, entry.size_bytes));
        }
        Self { epoch, contents: hash }
    }

    /// Return the identifier of the part of the image that is called `part`.
    pub(super) fn guid(&self, part: &str) -> Uuid {
        let hash = self.contents.clone().chain_update(part).finalize();
        let bytes = *hash.first_chunk().expect("SHA-256 has more than 16 bytes");
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use fatfs::TimeProvider;

    use super::super::contents::Entry;
    use super::*;

    #[test]
    fn the_time_is_read_in_seconds_and_known_to_fat() {
        // date --utc --date=@1700000001: Tue Nov 14 22:13:21 UTC 2023
        let epoch = Epoch::parse("1700000001").unwrap();
        let date = fatfs::Date { year: 2023, month: 11, day: 14 };
        let time = fatfs::Time { hour: 22, min: 13, sec: 21, millis: 0 };
        assert_eq!(epoch.get_current_date_time(), fatfs::DateTime { date, time });
        assert_eq!(epoch.seconds(), 1_700_000_001);
        for (text, part) in [
            ("yesterday", "\"yesterday\""),
            ("0", "1970"),
            ("99999999999", "5138"),
            ("99999999999999999999", "seconds since 1970"),
        ] {
            let error = Epoch::parse(text).unwrap_err().to_string();
            assert!(error.contains("SOURCE_DATE_EPOCH") && error.contains(part), "{error}");
        }
        assert_eq!(Epoch::parse(&DEFAULT_SECONDS.to_string()).unwrap().get_current_date().year, 2026);
    }

    #[test]
    fn identifiers_follow_from_the_names_and_sizes_of_the_files() {
        let of = |size_bytes| {
            let entry =
                Entry { path: "models/a.gguf".into(), source: PathBuf::from("elsewhere"), size_bytes };
            Identity::new(Epoch::parse("1700000000").unwrap(), &Contents { entries: vec![entry] })
        };
        assert_eq!(of(1).guid("disk"), of(1).guid("disk"));
        assert_ne!(of(1).guid("disk"), of(1).guid("system"));
        assert_ne!(of(1).guid("disk"), of(2).guid("disk"));
    }
}

//! Dates, and what the registers of a PC's real-time clock make of them.

use core::fmt;
use core::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta};

/// A date with the time of day in whole seconds, in whatever zone the machine's clock is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(NaiveDateTime);

impl Date {
    /// Return the date so many seconds after 1970 began, if there is one.
    pub fn after_1970(seconds: i64) -> Option<Self> {
        Some(Self(DateTime::from_timestamp(seconds, 0)?.naive_utc()))
    }

    /// Return the date so many whole seconds of `time` later.
    pub fn after(self, time: Duration) -> Self {
        let seconds = i64::try_from(time.as_secs()).ok().and_then(TimeDelta::try_seconds);
        let later = seconds.and_then(|seconds| self.0.checked_add_signed(seconds));
        Self(later.unwrap_or(self.0))
    }
}

impl fmt::Display for Date {
    /// Write `2026-11-27 07:05:09`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The registers of the real-time clock that a PC has in its CMOS memory (Motorola MC146818A data sheet, tables 2 and 3), as they
/// are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CmosRegisters {
    /// Register 0.
    pub second: u8,
    /// Register 2.
    pub minute: u8,
    /// Register 4. In the form of 12 hours, its highest bit says that it is after noon.
    pub hour: u8,
    /// Register 7: the day of the month.
    pub day: u8,
    /// Register 8.
    pub month: u8,
    /// Register 9: the year in its century. Where the century stands is not the same on all machines.
    pub year: u8,
    /// Register B, which tells in which form the others are.
    pub status: u8,
}

impl CmosRegisters {
    /// The bit of the status that says that numbers are binary, and not in decimal digits of four bits each.
    const BINARY: u8 = 1 << 2;
    /// The bit that says that hours go up to 23.
    const HOURS_24: u8 = 1 << 1;
    const AFTER_NOON: u8 = 1 << 7;

    /// Return the date, which is one of this century, or nothing where it is none.
    pub fn date(&self) -> Option<Date> {
        let number = |value: u8| match self.status & Self::BINARY {
            0 if value >> 4 > 9 || value & 0xf > 9 => None,
            0 => Some(u32::from(value >> 4) * 10 + u32::from(value & 0xf)),
            _ => Some(u32::from(value)),
        };
        let hour = match self.status & Self::HOURS_24 {
            0 => {
                let hour = number(self.hour & !Self::AFTER_NOON).filter(|hour| (1..=12).contains(hour))?;
                let half = if self.hour & Self::AFTER_NOON == 0 { 0 } else { 12 };
                hour % 12 + half
            }
            _ => number(self.hour)?,
        };
        let year = 2000 + number(self.year).filter(|&year| year < 100)? as i32;
        let day = NaiveDate::from_ymd_opt(year, number(self.month)?, number(self.day)?)?;
        day.and_hms_opt(hour, number(self.minute)?, number(self.second)?).map(Date)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{CmosRegisters, Date};

    const DECIMAL_24: CmosRegisters = CmosRegisters {
        second: 0x09,
        minute: 0x05,
        hour: 0x17,
        day: 0x27,
        month: 0x11,
        year: 0x26,
        status: 0b010,
    };

    fn shown(registers: CmosRegisters) -> Option<String> {
        registers.date().map(|date| date.to_string())
    }

    #[test]
    fn registers_are_read_in_all_four_forms() {
        let binary =
            CmosRegisters { second: 9, minute: 5, hour: 17, day: 27, month: 11, year: 26, status: 0b110 };
        let after_noon = |registers, hour, status| CmosRegisters { hour, status, ..registers };
        for registers in
            [DECIMAL_24, binary, after_noon(DECIMAL_24, 0x85, 0b000), after_noon(binary, 0x85, 0b100)]
        {
            assert_eq!(shown(registers).as_deref(), Some("2026-11-27 17:05:09"), "{registers:?}");
        }
    }

    #[test]
    fn twelve_is_the_first_hour_of_each_half_of_the_day() {
        for (hour, expected) in [(0x12, "00"), (0x01, "01"), (0x11, "11"), (0x92, "12"), (0x91, "23")] {
            let date = shown(CmosRegisters { hour, status: 0, ..DECIMAL_24 }).unwrap();
            assert_eq!(date, format!("2026-11-27 {expected}:05:09"), "{hour:#x}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for registers in [
            CmosRegisters { second: 0x60, ..DECIMAL_24 },
            CmosRegisters { minute: 0x0a, ..DECIMAL_24 },
            CmosRegisters { hour: 0x24, ..DECIMAL_24 },
            CmosRegisters { hour: 0x00, status: 0, ..DECIMAL_24 },
            CmosRegisters { hour: 0x13, status: 0, ..DECIMAL_24 },
            CmosRegisters { day: 0x00, ..DECIMAL_24 },
            CmosRegisters { day: 0x31, ..DECIMAL_24 },
            CmosRegisters { day: 0x29, month: 0x02, ..DECIMAL_24 },
            CmosRegisters { month: 0x13, ..DECIMAL_24 },
            CmosRegisters { year: 100, status: 0b110, ..DECIMAL_24 },
            // A machine that has no such clock.
            CmosRegisters {
                second: 255,
                minute: 255,
                hour: 255,
                day: 255,
                month: 255,
                year: 255,
                status: 255,
            },
        ] {
            assert_eq!(shown(registers), None, "{registers:?}");
        }
        let leap_day = CmosRegisters { day: 0x29, month: 0x02, year: 0x28, ..DECIMAL_24 };
        assert!(shown(leap_day).is_some());
    }

    /// The expected dates are those of GNU `date --utc --date=@SECONDS`.
    #[test]
    fn seconds_are_dates_and_go_on() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_795_763_109, "2026-11-27 07:05:09"),
            (4_102_444_800, "2100-01-01 00:00:00"),
        ] {
            assert_eq!(Date::after_1970(seconds).unwrap().to_string(), expected);
        }
        assert_eq!(Date::after_1970(i64::MAX), None);
        let date = Date::after_1970(951_782_399).unwrap();
        assert_eq!(date.after(Duration::from_millis(1_500)).to_string(), "2000-02-29 00:00:00");
        assert_eq!(date.after(Duration::MAX), date);
    }
}

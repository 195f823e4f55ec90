//! The function `strftime_now`, at a date that is given: a template on the same conversation gives the same tokens every day.

use std::{fmt, str::FromStr};

/// A day of the Gregorian calendar, from the year 1 to 9999, at midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u32,
    month: u32,
    day: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Default for Date {
    /// The date that Llama 3's templates take themselves where they are given none.
    fn default() -> Date {
        Date { year: 2024, month: 7, day: 26 }
    }
}

/// Text that is no date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a date such as 2024-07-26, found {0:?}")]
pub struct NoDate(String);

impl FromStr for Date {
    type Err = NoDate;

    /// `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Date, NoDate> {
        let parse = || {
            let [year, month, day] = text.split('-').collect::<Vec<_>>().try_into().ok()?;
            let number = |part: &str, digits: usize| {
                (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
                    .then(|| part.parse().ok())?
            };
            let date = Date { year: number(year, 4)?, month: number(month, 2)?, day: number(day, 2)? };
            let days = (1..=12).contains(&date.month).then(|| days_in(date.year, date.month))?;
            (date.year > 0 && (1..=days).contains(&date.day)).then_some(date)
        };
        parse().ok_or_else(|| NoDate(text.to_owned()))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 => 28 + u32::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// Day of the year, from 1.
    fn ordinal(self) -> u32 {
        (1..self.month).map(|month| days_in(self.year, month)).sum::<u32>() + self.day
    }

    /// Day of the week, Monday being 0. The first of January of the year 1 was one.
    fn weekday(self) -> u32 {
        let before = self.year - 1;
        (before * 365 + before / 4 - before / 100 + before / 400 + self.ordinal() - 1) % 7
    }

    /// The date as C's `strftime` writes it in the C locale; a directive that it does not know stays as it is.
    pub(super) fn strftime(self, format: &str) -> String {
        let mut out = String::new();
        let mut rest = format.chars();
        while let Some(c) = rest.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut directive = rest.next();
            // GNU's flag against padding.
            let bare = directive == Some('-');
            if bare {
                directive = rest.next();
            }
            let Some(directive) = directive else {
                out.push('%');
                break;
            };
            let written = self.directive(directive);
            match (written, bare) {
                (Some(written), true) => {
                    let trimmed = written.trim_start_matches(['0', ' ']);
                    out.push_str(if trimmed.is_empty() { "0" } else { trimmed });
                }
                (Some(written), false) => out.push_str(&written),
                (None, bare) => out.extend(['%'].into_iter().chain(bare.then_some('-')).chain([directive])),
            }
        }
        out
    }

    fn directive(self, directive: char) -> Option<String> {
        let Date { year, month, day } = self;
        let (month_name, weekday) = (MONTHS[month as usize - 1], WEEKDAYS[self.weekday() as usize]);
        let sunday_first = (self.weekday() + 1) % 7;
        Some(match directive {
            'Y' => year.to_string(),
            'y' => format!("{:02}", year % 100),
            'C' => format!("{:02}", year / 100),
            'm' => format!("{month:02}"),
            'd' => format!("{day:02}"),
            'e' => format!("{day:2}"),
            'j' => format!("{:03}", self.ordinal()),
            'B' => month_name.into(),
            'b' | 'h' => month_name[..3].into(),
            'A' => weekday.into(),
            'a' => weekday[..3].into(),
            'u' => (self.weekday() + 1).to_string(),
            'w' => sunday_first.to_string(),
            'U' => format!("{:02}", (self.ordinal() + 6 - sunday_first) / 7),
            'W' => format!("{:02}", (self.ordinal() + 6 - self.weekday()) / 7),
            'F' => self.to_string(),
            'D' | 'x' => format!("{month:02}/{day:02}/{:02}", year % 100),
            'H' | 'M' | 'S' => "00".into(),
            'k' => " 0".into(),
            'I' | 'l' => "12".into(),
            'p' => "AM".into(),
            'P' => "am".into(),
            'f' => "000000".into(),
            'T' | 'X' => "00:00:00".into(),
            'R' => "00:00".into(),
            'r' => "12:00:00 AM".into(),
            'c' => format!("{} {} {day:2} 00:00:00 {year}", &weekday[..3], &month_name[..3]),
            // A time without a zone.
            'z' | 'Z' => String::new(),
            'n' => "\n".into(),
            't' => "\t".into(),
            '%' => "%".into(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_of_the_calendar() {
        for text in ["2024-07-26", "2000-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "2024",
            "2024-7-26",
            "2023-02-29",
            "1900-02-29",
            "2024-13-01",
            "2024-00-10",
            "0000-01-01",
            "+024-01-01",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert_eq!(Date::default().to_string(), "2024-07-26");
    }

    /// Against Python's `datetime.strftime`.
    #[test]
    fn dates_are_written_as_strftime_does() {
        let shown = |date: &str, format: &str| date.parse::<Date>().unwrap().strftime(format);
        let long = "%A, %d %B %Y (%a %b %e) %y %j %u %w %U %W %H:%M:%S %I %p %D %%";
        assert_eq!(
            shown("2024-07-26", long),
            "Friday, 26 July 2024 (Fri Jul 26) 24 208 5 5 29 30 00:00:00 12 AM 07/26/24 %"
        );
        assert_eq!(shown("2000-02-29", "%a %-d/%-m %j %U %W"), "Tue 29/2 060 09 09");
        assert_eq!(shown("2023-01-01", "%A %-j %U %W %e"), "Sunday 1 01 00  1");
        assert_eq!(shown("2024-07-26", "%"), "%");
    }
}

//! `DateTime` input: ISO 8601 calendar dates with as much of a time as is given, to the canonical
//! text of a UTC timestamp. Computed on integers, so that it is exact for every year from 1 to
//! 9999.

/// `2016`, `2016-09`, `2018-12-05`, `…T12`, `…T12:29`, `…T12:29:32.342`, each with time followed by
/// `Z`, `+02`, `+0200`, `+02:00` or nothing, which is UTC. Digits beyond milliseconds are cut off.
///
/// Returns `YYYY-MM-DDTHH:MM:SS.mmm` in UTC; `None` if `text` is no such date, or if it lies
/// outside of the years 1 to 9999 in UTC.
pub(super) fn canonical(text: &str) -> Option<String> {
    let mut rest = DigitReader(text.as_bytes());
    let year = rest.digits(4)?;
    let month = if rest.take(b'-') { rest.digits(2)? } else { 1 };
    let day = if rest.take(b'-') { rest.digits(2)? } else { 1 };
    if year < 1 || !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let mut milliseconds = 0;
    let mut offset = 0;
    if rest.take(b'T') {
        // A time needs a whole date.
        if text.as_bytes().get(10) != Some(&b'T') {
            return None;
        }
        milliseconds = time(&mut rest)?;
        offset = zone(&mut rest)?;
    }
    if !rest.0.is_empty() {
        return None;
    }
    let instant = (days_before(year, month) + day - 1) * DAY + milliseconds - offset;
    let (days, time) = (instant.div_euclid(DAY), instant.rem_euclid(DAY));
    let (year, month, day) = date(days)?;
    let (seconds, milliseconds) = (time / 1000, time % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}"
    ))
}

const DAY: i64 = 24 * 60 * 60 * 1000;

struct DigitReader<'a>(&'a [u8]);

impl DigitReader<'_> {
    fn take(&mut self, wanted: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == wanted => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Exactly `count` digits, at most 4.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut number = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
        }
        self.0 = rest;
        Some(number)
    }

    fn starts_with_digit(&self) -> bool {
        self.0.first().is_some_and(u8::is_ascii_digit)
    }
}

/// Milliseconds since midnight.
fn time(rest: &mut DigitReader) -> Option<i64> {
    let hour = rest.digits(2)?;
    let mut minute = 0;
    let mut second = 0;
    let mut milliseconds = 0;
    if rest.take(b':') {
        minute = rest.digits(2)?;
        if rest.take(b':') {
            second = rest.digits(2)?;
            if rest.take(b'.') || rest.take(b',') {
                if !rest.starts_with_digit() {
                    return None;
                }
                for weight in [100, 10, 1] {
                    if rest.starts_with_digit() {
                        milliseconds += rest.digits(1)? * weight;
                    }
                }
                while rest.starts_with_digit() {
                    rest.digits(1)?;
                }
            }
        }
    }
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then_some(((hour * 60 + minute) * 60 + second) * 1000 + milliseconds)
}

/// How much later than UTC the local clock is, in milliseconds.
fn zone(rest: &mut DigitReader) -> Option<i64> {
    let sign = match rest.0.first() {
        None => return Some(0),
        Some(b'Z') => {
            rest.take(b'Z');
            return Some(0);
        }
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    rest.0 = &rest.0[1..];
    let hours = rest.digits(2)?;
    let minutes = if rest.take(b':') || rest.starts_with_digit() {
        rest.digits(2)?
    } else {
        0
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60 * 1000)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 0001-01-01 to the first of the month.
fn days_before(year: i64, month: i64) -> i64 {
    let years = year - 1;
    let months: i64 = (1..month).map(|m| days_in(year, m)).sum();
    years * 365 + years / 4 - years / 100 + years / 400 + months
}

/// The date that many days after 0001-01-01.
fn date(days: i64) -> Option<(i64, i64, i64)> {
    if days < 0 || days >= days_before(10_000, 1) {
        return None;
    }
    // Never too late, and at most one year too early.
    let mut year = (days / 366 + 1).max(1);
    while days_before(year + 1, 1) <= days {
        year += ((days - days_before(year + 1, 1)) / 366).max(1);
    }
    let mut day = days - days_before(year, 1);
    let mut month = 1;
    while day >= days_in(year, month) {
        day -= days_in(year, month);
        month += 1;
    }
    Some((year, month, day + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_and_writes_one() {
        for (given, expected) in [
            ("2016", "2016-01-01T00:00:00.000"),
            ("2016-09", "2016-09-01T00:00:00.000"),
            ("2018-12-05", "2018-12-05T00:00:00.000"),
            ("2016-09-24T12", "2016-09-24T12:00:00.000"),
            ("2016-09-24T12:29", "2016-09-24T12:29:00.000"),
            ("2016-09-24T12:29:32", "2016-09-24T12:29:32.000"),
            ("2016-09-24T12:29:32.342", "2016-09-24T12:29:32.342"),
            ("2016-09-24T12:29:32.3", "2016-09-24T12:29:32.300"),
            ("2016-09-24T12:29:32.3429999", "2016-09-24T12:29:32.342"),
            ("2016-09-24T12:29:32Z", "2016-09-24T12:29:32.000"),
            ("2016-09-24T12:29:32.342+02:00", "2016-09-24T10:29:32.342"),
            ("2016-09-24T12:29:32.342-0230", "2016-09-24T14:59:32.342"),
            ("2016-12-31T23:30-01", "2017-01-01T00:30:00.000"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999"),
            ("1600-02-29T00:00:00.001+00:01", "1600-02-28T23:59:00.001"),
            ("0001-01-01", "0001-01-01T00:00:00.000"),
            ("9999-12-31T23:59:59.999", "9999-12-31T23:59:59.999"),
        ] {
            assert_eq!(canonical(given).as_deref(), Some(expected), "{given}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for given in [
            "",
            "x",
            "16",
            "2016-",
            "2016-9",
            "2016-0B-31T23:59:01.000Z",
            "2016-13",
            "2016-00-01",
            "2016-02-30",
            "1900-02-29",
            "2016-09-24T",
            "2016-09-24T24:00",
            "2016-09-24T12:60",
            "2016-09-24T12:29:60",
            "2016-09-24T12:29:32.",
            "2016-09-24T12:29:32+",
            "2016-09-24T12:29:32+24:00",
            "2016-09T12:00",
            "2016T12",
            "2016-09-24Z",
            "2016-09-24 12:29",
            "0000-01-01",
            "0001-01-01T00:00+00:01",
            "9999-12-31T23:59-00:01",
            "12016-01-01",
            "-2016",
            "２０１６",
            "2016-09-24T12:29:32Zx",
            "2016\0",
        ] {
            assert_eq!(canonical(given), None, "{given}");
        }
    }

    #[test]
    fn counts_days_as_chrono_does() {
        let first = chrono::NaiveDate::from_ymd_opt(1, 1, 1).expect("a date");
        for days in (0..days_before(10_000, 1))
            .step_by(37)
            .chain([59, 60, 364, 365, 366, 730_119])
        {
            let expected = first + chrono::TimeDelta::days(days);
            let (year, month, day) = date(days).expect("in range");
            assert_eq!(
                format!("{year:04}-{month:02}-{day:02}"),
                expected.to_string()
            );
            assert_eq!(days_before(year, month) + day - 1, days);
        }
    }
}

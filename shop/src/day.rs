//! The shop's days, in its own time zone.

use chrono::{DateTime, Days, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;

/// The first moment of the day that holds `time`, and the first of the next.
pub fn bounds(zone: Tz, time: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let date = time.with_timezone(&zone).date_naive();
    let next = date.checked_add_days(Days::new(1)).unwrap_or(date);
    let midnight = |date: chrono::NaiveDate| {
        let local = date.and_time(NaiveTime::MIN);
        // Where clocks are put forward at midnight the day begins an hour later.
        let begins = (0..=3).find_map(|hours| {
            zone.from_local_datetime(&(local + chrono::Duration::hours(hours)))
                .earliest()
        });
        begins.map_or_else(|| Utc.from_utc_datetime(&local), |begins| begins.to_utc())
    };
    (midnight(date), midnight(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(zone: Tz, time: &str, from: &str, to: &str) {
        let (found_from, found_to) = bounds(zone, time.parse().unwrap());
        assert_eq!(
            (found_from, found_to),
            (from.parse().unwrap(), to.parse().unwrap()),
            "{time}"
        );
    }

    #[test]
    fn a_day_is_the_shops_not_the_servers() {
        let mexico = chrono_tz::America::Mexico_City;
        check(
            mexico,
            "2026-11-24T05:59:59Z",
            "2026-11-23T06:00:00Z",
            "2026-11-24T06:00:00Z",
        );
        check(
            mexico,
            "2026-11-24T06:00:00Z",
            "2026-11-24T06:00:00Z",
            "2026-11-25T06:00:00Z",
        );
    }

    #[test]
    fn days_on_which_clocks_change_are_longer_or_shorter() {
        let berlin = chrono_tz::Europe::Berlin;
        check(
            berlin,
            "2026-03-29T12:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        );
        // Clocks went from 23:59:59 to 01:00.
        let santiago = chrono_tz::America::Santiago;
        check(
            santiago,
            "2026-09-06T12:00:00Z",
            "2026-09-06T04:00:00Z",
            "2026-09-07T03:00:00Z",
        );
    }
}

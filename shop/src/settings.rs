//! The settings that only a server with the shop has.

use std::time::Duration;

use chrono_tz::Tz;
use gom_actors::push::Urgency;
use gom_server::settings::{Key, Kind, Settings};
use serde::Deserialize;

/// RFC 8030, section 5.3.
const URGENCY: Kind = Kind::Choice(&["very-low", "low", "normal", "high"]);
/// Push services keep nothing longer than four weeks.
const TIME_TO_LIVE: Kind = Kind::Seconds {
    min: 60,
    max: 2_419_200,
};

const LANGUAGE: Key = Key::new(
    "push.language",
    Kind::Choice(&["es", "en"]),
    Some("es"),
    "The language of the notices that users are sent: Spanish or English.",
);
const ORDERS_URGENCY: Key = Key::new(
    "push.orders.urgency",
    URGENCY,
    Some("high"),
    "How soon notices of orders are to wake a device that saves its battery.",
);
const ORDERS_TIME_TO_LIVE: Key = Key::new(
    "push.orders.time_to_live",
    TIME_TO_LIVE,
    Some("86400"),
    "How long a notice of an order is kept for a device that is away, and tried.",
);
const PROMOTIONS_URGENCY: Key = Key::new(
    "push.promotions.urgency",
    URGENCY,
    Some("normal"),
    "How soon notices of promotions are to wake a device that saves its battery.",
);
const PROMOTIONS_TIME_TO_LIVE: Key = Key::new(
    "push.promotions.time_to_live",
    TIME_TO_LIVE,
    Some("86400"),
    "How long a notice of a promotion is kept for a device that is away, and tried.",
);
const TIME_ZONE: Key = Key::new(
    "shop.time_zone",
    Kind::TimeZone,
    Some("UTC"),
    "Where a day begins and ends for the limit of one publication of a promotion a day.",
);

/// Every key, in the order in which they are shown.
pub static KEYS: &[Key] = &[
    LANGUAGE,
    ORDERS_URGENCY,
    ORDERS_TIME_TO_LIVE,
    PROMOTIONS_URGENCY,
    PROMOTIONS_TIME_TO_LIVE,
    TIME_ZONE,
];

/// A language that notices can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Language {
    /// `es`
    #[default]
    #[serde(rename = "es")]
    Spanish,
    /// `en`
    #[serde(rename = "en")]
    English,
}

/// How notices of one kind travel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoticeSettings {
    /// How soon they are to wake a device that saves its battery.
    pub urgency: Urgency,
    /// How long push services keep them for a device that is away, and how long they are tried.
    pub time_to_live: Duration,
}

/// How notices are written, and how they travel.
#[derive(Debug, Clone, Copy)]
pub struct NoticeOptions {
    /// The language of all texts.
    pub language: Language,
    /// Notices of new and changed orders.
    pub orders: NoticeSettings,
    /// Notices of published promotions.
    pub promotions: NoticeSettings,
}

impl NoticeOptions {
    /// As the settings' keys ([`KEYS`]) have them.
    pub fn of(settings: &Settings) -> Self {
        let notices = |urgency, time_to_live| NoticeSettings {
            urgency: value::<String>(settings, urgency)
                .as_deref()
                .and_then(Urgency::of)
                .unwrap_or(Urgency::Normal),
            time_to_live: Duration::from_secs(value(settings, time_to_live).unwrap_or_default()),
        };
        NoticeOptions {
            language: value(settings, &LANGUAGE).unwrap_or_default(),
            orders: notices(&ORDERS_URGENCY, &ORDERS_TIME_TO_LIVE),
            promotions: notices(&PROMOTIONS_URGENCY, &PROMOTIONS_TIME_TO_LIVE),
        }
    }
}

/// The shop's time zone.
pub fn time_zone(settings: &Settings) -> Tz {
    value::<String>(settings, &TIME_ZONE)
        .and_then(|name| name.parse().ok())
        .unwrap_or_default()
}

/// Every key has a default, and is checked when it is read: there is always a value.
fn value<T: serde::de::DeserializeOwned>(settings: &Settings, key: &Key) -> Option<T> {
    settings.application.get(key)
}

#[cfg(test)]
mod tests {
    use gom_server::settings::{Inputs, Purpose, load};

    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        let inputs = Inputs {
            purpose: Purpose::Tool,
            keys: KEYS,
            variables: variables
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: None,
            arguments: Vec::new(),
        };
        load(&inputs).unwrap().settings
    }

    #[test]
    fn every_key_has_a_value_of_its_type() {
        let settings = settings(&[]);
        for key in KEYS {
            assert!(key.default.is_some(), "{}", key.path);
        }
        let notices = NoticeOptions::of(&settings);
        assert_eq!(notices.language, Language::Spanish);
        assert_eq!(notices.orders.urgency, Urgency::High);
        assert_eq!(notices.promotions.urgency, Urgency::Normal);
        for notices in [notices.orders, notices.promotions] {
            assert_eq!(notices.time_to_live, Duration::from_secs(86_400));
        }
        assert_eq!(time_zone(&settings), Tz::UTC);
    }

    #[test]
    fn what_the_operator_sets_is_used() {
        let settings = settings(&[
            ("GOM__PUSH__LANGUAGE", "en"),
            ("GOM__PUSH__ORDERS__URGENCY", "very-low"),
            ("GOM__PUSH__PROMOTIONS__TIME_TO_LIVE", "60"),
            ("GOM__SHOP__TIME_ZONE", "America/Mexico_City"),
        ]);
        let notices = NoticeOptions::of(&settings);
        assert_eq!(notices.language, Language::English);
        assert_eq!(notices.orders.urgency, Urgency::VeryLow);
        assert_eq!(notices.promotions.time_to_live, Duration::from_secs(60));
        assert_eq!(time_zone(&settings), Tz::America__Mexico_City);
    }
}

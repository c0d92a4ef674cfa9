//! Every text of a notification, in each language.

use crate::settings::Language;

/// Stands for the order's name.
pub(super) const NAME: &str = "{name}";

pub(super) struct Text {
    pub title: &'static str,
    pub body: &'static str,
}

pub(super) struct Texts {
    pub order_created: Text,
    pub order_updated: Text,
}

/// As the client's users know them.
static SPANISH: Texts = Texts {
    order_created: Text {
        title: "Pedido nuevo",
        body: "Tienes un nuevo pedido: {name}",
    },
    order_updated: Text {
        title: "Pedido actualizado",
        body: "{name} ha sido actualizado",
    },
};

static ENGLISH: Texts = Texts {
    order_created: Text {
        title: "New order",
        body: "You have a new order: {name}",
    },
    order_updated: Text {
        title: "Order updated",
        body: "{name} has been updated",
    },
};

impl Texts {
    pub fn of(language: Language) -> &'static Texts {
        match language {
            Language::Spanish => &SPANISH,
            Language::English => &ENGLISH,
        }
    }
}

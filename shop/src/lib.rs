//! The shop, an application of the server: rules of its datamodel that no generic API has, its notices, and its customers'
//! way to log in. Everything that depends on what a shop is stands here.

#![warn(missing_docs)]

mod code_endpoint;
mod customers;
mod day;
mod detours;
mod logins;
mod notices;
#[cfg(test)]
mod pages;
mod phone_login;
mod rules;
pub mod seed;
mod settings;
mod subject;
mod watched;

pub use notices::Notices;
pub use rules::CODES;
pub use settings::{KEYS, Language, NoticeOptions, NoticeSettings};
pub use subject::{CUSTOMER_TOKEN, CustomerClaims, PHONE, customer_subject};
pub use watched::{ORDER, PUBLICATION};

use gom_actors::push::Composer;
use gom_engine::datamodel::DataModel;
use gom_engine::policy::{PolicyProblem, PolicySource};
use gom_engine::schema::Schema;
use gom_server::application::{Application, EarlierSubject};
use gom_server::datamodel::BuiltIn;
use gom_server::graphql::{Api, Engine, WriteRules};
use gom_server::http::{Endpoint, LoginProvider};
use gom_server::identity::TokenKind;
use gom_server::seed::SeedData;
use gom_server::settings::{Key, Settings};

use customers::Customers;
use phone_login::PhoneLogin;
use rules::Rules;
use seed::DemoShop;

/// The shop, as an application of the server. A datamodel without the shop's models is served as if it were not there.
#[derive(Debug, Clone, Copy)]
pub struct Shop;

impl Application for Shop {
    fn settings(&self) -> &'static [Key] {
        KEYS
    }

    fn built_in(&self) -> Option<BuiltIn> {
        Some(BuiltIn {
            datamodel: include_str!("../../config/datamodel.prisma"),
            policy: include_str!("../../config/policy.toml"),
        })
    }

    fn console_examples(&self) -> &'static str {
        "shop"
    }

    fn extend_datamodel(&self, model: &mut DataModel) {
        model.watched = watched::watched(model);
        model.followed = logins::followed(model);
        model.lists = watched::lists(model);
    }

    fn policy_problems(
        &self,
        source: &PolicySource,
        model: &DataModel,
        schema: &Schema,
    ) -> Vec<PolicyProblem> {
        detours::detours(source, model, schema)
    }

    fn write_rules(
        &self,
        model: &DataModel,
        schema: &Schema,
        settings: &Settings,
    ) -> Option<Box<dyn WriteRules>> {
        let rules = Rules::find(model, schema, settings::time_zone(settings))?;
        Some(Box::new(rules))
    }

    fn error_codes(&self) -> &'static [&'static str] {
        &CODES
    }

    fn endpoints(&self, engine: &Engine) -> Vec<Endpoint> {
        vec![code_endpoint::endpoint(Customers::of(engine))]
    }

    fn token_kinds(&self) -> &'static [TokenKind] {
        &[CUSTOMER_TOKEN]
    }

    fn earlier_subject(&self) -> EarlierSubject {
        subject::earlier_subject
    }

    fn logins(&self, engine: &Engine) -> Vec<Box<dyn LoginProvider>> {
        vec![Box::new(PhoneLogin::new(engine))]
    }

    fn seed_data(&self, settings: &Settings) -> Option<Box<dyn SeedData>> {
        Some(Box::new(DemoShop::new(settings)))
    }

    fn composer(&self, api: Api, settings: &Settings) -> Option<Box<dyn Composer>> {
        let notices = Notices::new(api, NoticeOptions::of(settings))?;
        Some(Box::new(notices))
    }
}

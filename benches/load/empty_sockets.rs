//! What a websocket costs at the least: a server of actix-web-actors whose sockets do nothing. For `benches/live`. Prints its
//! port.

#![allow(clippy::unwrap_used)] // a measurement that cannot be made is a panic

use actix::{Actor, StreamHandler};
use actix_web::{App, HttpRequest, HttpServer, web};
use actix_web_actors::ws::{Message, ProtocolError, WebsocketContext, WsResponseBuilder};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Empty;

impl Actor for Empty {
    type Context = WebsocketContext<Self>;
}

impl StreamHandler<Result<Message, ProtocolError>> for Empty {
    fn handle(&mut self, _: Result<Message, ProtocolError>, _: &mut Self::Context) {}
}

async fn open(
    request: HttpRequest,
    payload: web::Payload,
) -> actix_web::Result<actix_web::HttpResponse> {
    WsResponseBuilder::new(Empty, &request, payload)
        .protocols(&["graphql-transport-ws"])
        .start()
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let server = HttpServer::new(|| App::new().route("/graphql", web::get().to(open)))
        .workers(std::thread::available_parallelism().map_or(1, usize::from))
        .bind(("127.0.0.1", 0))?;
    println!("{}", server.addrs()[0].port());
    server.run().await
}

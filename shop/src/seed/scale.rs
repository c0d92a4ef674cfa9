//! The benchmark's data set, made by PostgreSQL itself in portions, so that progress shows and nothing waits
//! for one long transaction. Rows have fixed ids: what is there already is left as it is.

/// A table's part of the data set. Portions are numbered from 1, rows from 1 to `rows`.
pub struct Part {
    /// What a progress bar calls it.
    pub label: &'static str,
    /// All of its rows.
    pub rows: u32,
    /// Rows of one statement.
    pub portion: u32,
    /// Inserts the rows `$1` to `$2`, both included.
    pub sql: &'static str,
}

/// 100 sellers with 200 customers each, 2,000 orders each of 3 items with a price each, 10 promotions each
/// with 3 publications.
pub const PARTS: [Part; 9] = [
    Part {
        label: "sellers",
        rows: 100,
        portion: 100,
        sql: r#"INSERT INTO "User" ("uid", "extUid", "business", "role", "createdAt", "updatedAt")
            SELECT 'cscaleu' || lpad(n::text, 18, '0'), 'auth0|scale-' || lpad(n::text, 4, '0'),
                   (ARRAY['Paletería', 'Taquería', 'Abarrotes', 'Panadería', 'Ferretería'])[1 + n % 5] || ' ' || n,
                   'seller', at, at
            FROM generate_series($1::int, $2::int) AS n,
                 (SELECT timestamp '2025-01-01' AS at) AS start
            ON CONFLICT DO NOTHING"#,
    },
    Part {
        label: "customers",
        rows: 20_000,
        portion: 5_000,
        sql: r#"INSERT INTO "Bp" ("uid", "extUid", "name1", "lastName1", "phone", "email", "createdAt", "updatedAt",
                              "createdBy", "updatedBy")
            SELECT 'cscaleb' || lpad(n::text, 18, '0'), 'S' || lpad(n::text, 9, '0'),
                   (ARRAY['María', 'José', 'Sofía', 'Íñigo', 'Ximena', 'Ángel', 'Lucía', 'Raúl', 'Inés', 'Óscar',
                          'Teresa', 'Hugo', 'Marisol'])[1 + n % 13],
                   (ARRAY['Hernández', 'Peña', 'Ramírez', 'Gutiérrez', 'Muñoz', 'Cortés', 'Domínguez', 'Ibáñez',
                          'Núñez', 'Ochoa', 'Vega'])[1 + n / 13 % 11],
                   '55' || lpad(n::text, 8, '0'), 'cliente' || n || '@example.com', at, at, by, by
            FROM generate_series($1::int, $2::int) AS n,
                 LATERAL (SELECT timestamp '2025-01-01' + n * interval '20 minutes' AS at,
                                 'auth0|scale-' || lpad((1 + n % 100)::text, 4, '0') AS by) AS made
            ON CONFLICT DO NOTHING"#,
    },
    Part {
        label: "links of customers",
        rows: 20_000,
        portion: 5_000,
        sql: r#"INSERT INTO "_CustomerOf" ("A", "B")
            SELECT 'cscaleb' || lpad(n::text, 18, '0'), 'cscaleu' || lpad((1 + n % 100)::text, 18, '0')
            FROM generate_series($1::int, $2::int) AS n
            ON CONFLICT DO NOTHING"#,
    },
    // Order n goes to customer n % 20,000, and so to that customer's seller.
    Part {
        label: "orders",
        rows: 200_000,
        portion: 10_000,
        sql: r#"INSERT INTO "Order" ("uid", "name", "stage", "issuedTo", "assignedTo", "createdAt", "updatedAt",
                                 "createdBy", "updatedBy")
            SELECT 'cscaleo' || lpad(n::text, 18, '0'), 'Pedido ' || n,
                   (ARRAY['OPEN', 'IN_PROCESS', 'WON', 'CLOSED', 'CLOSED'])[1 + n / 100 % 5],
                   'cscaleb' || lpad((1 + (n - 1) % 20000)::text, 18, '0'),
                   'cscaleu' || lpad((1 + (1 + (n - 1) % 20000) % 100)::text, 18, '0'), at, at, by, by
            FROM generate_series($1::int, $2::int) AS n,
                 LATERAL (SELECT timestamp '2025-02-01' + n * interval '2 minutes' AS at,
                                 'auth0|scale-' || lpad((1 + (1 + (n - 1) % 20000) % 100)::text, 4, '0') AS by) AS made
            ON CONFLICT DO NOTHING"#,
    },
    Part {
        label: "items",
        rows: 600_000,
        portion: 20_000,
        sql: r#"INSERT INTO "Item" ("uid", "code", "quantity", "description", "order", "createdAt", "updatedAt",
                                "createdBy", "updatedBy")
            SELECT 'cscalei' || lpad(n::text, 18, '0'), 'ART-' || n % 500, 1 + n % 12, 'Artículo ' || n % 500,
                   'cscaleo' || lpad((1 + (n - 1) / 3)::text, 18, '0'), at, at, NULL, NULL
            FROM generate_series($1::int, $2::int) AS n,
                 LATERAL (SELECT timestamp '2025-02-01' + (1 + (n - 1) / 3) * interval '2 minutes' AS at) AS made
            ON CONFLICT DO NOTHING"#,
    },
    Part {
        label: "prices",
        rows: 600_000,
        portion: 20_000,
        sql: r#"INSERT INTO "Price" ("uid", "type", "amount", "currency", "item", "createdAt", "updatedAt")
            SELECT 'cscalep' || lpad(n::text, 18, '0'), 'GENERAL', (5 + n % 400) + (n % 4) * 0.25, 'MXN',
                   'cscalei' || lpad(n::text, 18, '0'), at, at
            FROM generate_series($1::int, $2::int) AS n,
                 LATERAL (SELECT timestamp '2025-02-01' + (1 + (n - 1) / 3) * interval '2 minutes' AS at) AS made
            ON CONFLICT DO NOTHING"#,
    },
    Part {
        label: "promotions",
        rows: 1_000,
        portion: 1_000,
        sql: r#"INSERT INTO "Promotion" ("uid", "code", "name", "start", "end", "category", "content", "assignedTo",
                                     "createdAt", "updatedAt", "createdBy", "updatedBy")
            SELECT 'cscalem' || lpad(n::text, 18, '0'), 'PROMO' || n, 'Promoción ' || n, at, at + interval '60 days',
                   'temporada', '<p>Promoción número ' || n || '.</p>',
                   'cscaleu' || lpad((1 + n % 100)::text, 18, '0'), at, at, by, by
            FROM generate_series($1::int, $2::int) AS n,
                 LATERAL (SELECT timestamp '2025-02-01' + n * interval '8 hours' AS at,
                                 'auth0|scale-' || lpad((1 + n % 100)::text, 4, '0') AS by) AS made
            ON CONFLICT DO NOTHING"#,
    },
    Part {
        label: "promotions of orders",
        rows: 20_000,
        portion: 10_000,
        sql: r#"INSERT INTO "_OrderPromo" ("A", "B")
            SELECT "Order"."uid", 'cscalem' || lpad((100 * (1 + n % 9) + right("assignedTo", 4)::int - 1)::text, 18, '0')
            FROM generate_series($1::int, $2::int) AS n
            JOIN "Order" ON "Order"."uid" = 'cscaleo' || lpad((n * 10)::text, 18, '0')
            ON CONFLICT DO NOTHING"#,
    },
    Part {
        label: "publications",
        rows: 3_000,
        portion: 3_000,
        sql: r#"INSERT INTO "Publication" ("uid", "type", "status", "delay", "publishAt", "promotion", "createdAt",
                                       "updatedAt")
            SELECT 'cscalel' || lpad(n::text, 18, '0'), 'NOTIFICATION', 'DELIVERED', 0, at,
                   'cscalem' || lpad((1 + (n - 1) / 3)::text, 18, '0'), at, at
            FROM generate_series($1::int, $2::int) AS n,
                 LATERAL (SELECT timestamp '2025-02-01' + (1 + (n - 1) / 3) * interval '8 hours'
                                 + (n % 3) * interval '1 day' AS at) AS made
            ON CONFLICT DO NOTHING"#,
    },
];

/// Afterwards, so that the planner knows what it is dealing with.
pub const TABLES: [&str; 9] = [
    "User",
    "Bp",
    "_CustomerOf",
    "Order",
    "Item",
    "Price",
    "Promotion",
    "_OrderPromo",
    "Publication",
];

impl Part {
    /// The first and last row of each portion.
    pub fn portions(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let (rows, portion) = (self.rows, self.portion);
        (1..=rows)
            .step_by(portion as usize)
            .map(move |first| (first, (first + portion - 1).min(rows)))
    }
}

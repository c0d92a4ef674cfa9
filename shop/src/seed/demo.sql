-- The demo shop: two sellers, their customers, orders in every stage with items and prices, promotions with
-- publications. Rows have fixed ids, so that a second run finds them and changes nothing.
-- Run with the models' schema as search path.

INSERT INTO "User" ("uid", "extUid", "business", "role", "createdAt", "updatedAt")
SELECT 'cdemouser' || lpad(n::text, 16, '0'), ext, business, 'seller', at, at
FROM (VALUES
    (1, 'auth0|demo-paletas', 'Paletas Marías'),
    (2, 'auth0|demo-tacos', 'Tacos El Güero')
) AS seller (n, ext, business), (SELECT (now() AT TIME ZONE 'utc') - interval '180 days') AS start (at)
ON CONFLICT DO NOTHING;

INSERT INTO "Bp" ("uid", "extUid", "name1", "name2", "lastName1", "lastName2", "phone", "email",
                  "createdAt", "updatedAt", "createdBy", "updatedBy")
SELECT 'cdemobp' || lpad(n::text, 18, '0'), 'DemoCode' || lpad(n::text, 2, '0'), name1, name2, last1, last2,
       phone, email, at - n * interval '1 day', at - n * interval '1 day', ext, ext
FROM (VALUES
    (1, 'auth0|demo-paletas', 'María', 'José', 'Hernández', 'Núñez', '5512345684', 'maria@example.com'),
    (2, 'auth0|demo-paletas', 'Íñigo', NULL, 'Peña', 'Ochoa', '5523456795', 'inigo@example.com'),
    (3, 'auth0|demo-paletas', 'Sofía', NULL, 'Ramírez', NULL, '3312345678', NULL),
    (4, 'auth0|demo-paletas', 'José', 'Luis', 'Gutiérrez', 'Muñoz', '8112345679', 'jose.luis@example.com'),
    (5, 'auth0|demo-paletas', 'Abarrotes La Esquina', NULL, NULL, NULL, '2221234567', 'esquina@example.com'),
    (6, 'auth0|demo-tacos', 'Ximena', NULL, 'Cortés', 'Vega', '5534567806', 'ximena@example.com'),
    (7, 'auth0|demo-tacos', 'Ángel', NULL, 'Domínguez', NULL, '4421234568', NULL),
    (8, 'auth0|demo-tacos', 'Lucía', 'Fernanda', 'Ibáñez', 'Soto', '9991234569', 'lucia@example.com'),
    (9, 'auth0|demo-tacos', 'Fonda Doña Chela', NULL, NULL, NULL, '7771234560', 'fonda@example.com')
) AS customer (n, ext, name1, name2, last1, last2, phone, email),
     (SELECT (now() AT TIME ZONE 'utc') - interval '90 days') AS start (at)
ON CONFLICT DO NOTHING;

-- Customer 2 buys from both.
INSERT INTO "_CustomerOf" ("A", "B")
SELECT 'cdemobp' || lpad(customer::text, 18, '0'), 'cdemouser' || lpad(seller::text, 16, '0')
FROM (VALUES (1, 1), (2, 1), (3, 1), (4, 1), (5, 1), (2, 2), (6, 2), (7, 2), (8, 2), (9, 2))
     AS link (customer, seller)
ON CONFLICT DO NOTHING;

INSERT INTO "Order" ("uid", "name", "stage", "issuedTo", "assignedTo", "createdAt", "updatedAt",
                     "createdBy", "updatedBy")
SELECT 'cdemoorder' || lpad(n::text, 15, '0'), name, stage, 'cdemobp' || lpad(customer::text, 18, '0'),
       'cdemouser' || lpad(seller::text, 16, '0'), at - days * interval '1 day', at - days * interval '1 day',
       ext, ext
FROM (VALUES
    (1, 1, 1, 'OPEN', 0, 'Paletas para la fiesta de Sofía'),
    (2, 1, 2, 'IN_PROCESS', 1, 'Pedido de la semana'),
    (3, 1, 3, 'WON', 5, 'Boda en el jardín'),
    (4, 1, 4, 'CLOSED', 9, 'Kermés de la escuela'),
    (5, 1, 5, 'OPEN', 2, 'Surtido para la tienda'),
    (6, 1, 5, 'CLOSED', 30, 'Surtido del mes pasado'),
    (7, 2, 6, 'OPEN', 0, 'Taquiza de cumpleaños'),
    (8, 2, 7, 'IN_PROCESS', 1, 'Comida de la oficina'),
    (9, 2, 8, 'WON', 7, 'Bautizo'),
    (10, 2, 9, 'CLOSED', 12, 'Salsas y tortillas'),
    (11, 2, 2, 'OPEN', 3, 'Cena del viernes')
) AS placed (n, seller, customer, stage, days, name)
JOIN (VALUES (1, 'auth0|demo-paletas'), (2, 'auth0|demo-tacos')) AS by (seller, ext) USING (seller),
     (SELECT (now() AT TIME ZONE 'utc') - interval '1 hour') AS start (at)
ON CONFLICT DO NOTHING;

-- Two or three items in each order.
INSERT INTO "Item" ("uid", "code", "quantity", "description", "provider", "order", "createdAt", "updatedAt",
                    "createdBy", "updatedBy")
SELECT 'cdemoitem' || lpad((placed.n * 10 + line)::text, 16, '0'), code, quantity, description, provider,
       "Order"."uid", "Order"."createdAt", "Order"."createdAt", "Order"."createdBy", "Order"."createdBy"
FROM generate_series(1, 11) AS placed (n)
JOIN (VALUES
    (1, 1, 'PAL-MAN', 12, 'Paleta de mango con chile', 'Frutas del Sur'),
    (1, 2, 'PAL-LIM', 24, 'Paleta de limón', NULL),
    (1, 3, NULL, 6.5, 'Kilos de hielo', NULL),
    (2, 1, 'TAC-PAS', 40, 'Tacos al pastor', NULL),
    (2, 2, 'TAC-SUA', 30, 'Tacos de suadero', 'Carnes Lupita'),
    (2, 3, NULL, 2.25, 'Litros de salsa verde', NULL)
) AS sold (seller, line, code, quantity, description, provider)
  ON seller = CASE WHEN placed.n <= 6 THEN 1 ELSE 2 END AND (line < 3 OR placed.n % 2 = 1)
JOIN "Order" ON "Order"."uid" = 'cdemoorder' || lpad(placed.n::text, 15, '0')
ON CONFLICT DO NOTHING;

INSERT INTO "Price" ("uid", "type", "amount", "currency", "item", "createdAt", "updatedAt",
                     "createdBy", "updatedBy")
SELECT 'cdemoprice' || right("uid", 15), 'GENERAL',
       CASE "code" WHEN 'PAL-MAN' THEN 25.50 WHEN 'PAL-LIM' THEN 18 WHEN 'TAC-PAS' THEN 22 WHEN 'TAC-SUA' THEN 24.50
            ELSE 35.75 END,
       'MXN', "uid", "createdAt", "createdAt", "createdBy", "createdBy"
FROM "Item" WHERE "uid" LIKE 'cdemoitem%'
ON CONFLICT DO NOTHING;

INSERT INTO "Promotion" ("uid", "code", "name", "start", "end", "category", "content", "assignedTo",
                         "createdAt", "updatedAt", "createdBy", "updatedBy")
SELECT 'cdemopromotion' || lpad(n::text, 11, '0'), code, name, at + since * interval '1 day',
       at + till * interval '1 day', category, content, 'cdemouser' || lpad(seller::text, 16, '0'),
       at + since * interval '1 day', at + since * interval '1 day', ext, ext
FROM (VALUES
    (1, 1, 'auth0|demo-paletas', 'VERANO', 'Tercera paleta gratis', -10, 60, 'temporada',
     '<p>Compra <b>dos</b> paletas de agua y llévate la tercera gratis.</p>'),
    (2, 1, 'auth0|demo-paletas', 'MAYOREO', 'Precio de mayoreo', -30, 365, 'mayoreo',
     '<p>Desde 100 piezas, 15&nbsp;% de descuento.</p>'),
    (3, 1, 'auth0|demo-paletas', 'POSADA', 'Posadas', -120, -30, 'temporada', '<p>Paletas de ponche.</p>'),
    (4, 2, 'auth0|demo-tacos', 'MARTES', 'Martes de pastor', -20, 90, 'semana',
     '<p>Los martes, tacos al pastor a mitad de precio.</p>'),
    (5, 2, 'auth0|demo-tacos', 'PATRIO', 'Mes patrio', -100, -70, 'temporada', '<p>Pozole de cortesía.</p>')
) AS offered (n, seller, ext, code, name, since, till, category, content),
     (SELECT now() AT TIME ZONE 'utc') AS start (at)
ON CONFLICT DO NOTHING;

INSERT INTO "_OrderPromo" ("A", "B") VALUES
    ('cdemoorder000000000000001', 'cdemopromotion00000000001'),
    ('cdemoorder000000000000005', 'cdemopromotion00000000002'),
    ('cdemoorder000000000000007', 'cdemopromotion00000000004')
ON CONFLICT DO NOTHING;

INSERT INTO "Publication" ("uid", "type", "status", "delay", "publishAt", "promotion", "createdAt", "updatedAt",
                           "createdBy", "updatedBy")
SELECT 'cdemopublication' || lpad(n::text, 9, '0'), 'NOTIFICATION', 'DELIVERED', 0, "start", "uid", "start",
       "start", "createdBy", "createdBy"
FROM generate_series(1, 5) AS published (n)
JOIN "Promotion" ON "uid" = 'cdemopromotion' || lpad(n::text, 11, '0')
ON CONFLICT DO NOTHING;

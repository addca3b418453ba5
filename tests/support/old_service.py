"""The old service's database: the plan's columns in `public`, as a Node service made them, and rows in any number."""

import psycopg

SEATS_PER_EVENT = 1000
SCHEMA = """
CREATE TABLE users (id uuid PRIMARY KEY, email varchar(255), password_hash varchar(255));
CREATE TABLE news (id serial PRIMARY KEY, title varchar(255), author_id uuid);
CREATE TABLE seat_layouts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name varchar(100) NOT NULL, description text, total_seats integer,
    layout_config jsonb NOT NULL, created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now()
);
CREATE TABLE events (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), title varchar(300) NOT NULL, description text, venue varchar(255),
    address varchar(500), event_date timestamp, sale_start_date timestamp, sale_end_date timestamp, poster_image_url text,
    status varchar(50) DEFAULT 'upcoming', seat_layout_id uuid REFERENCES seat_layouts, artist_name varchar(255),
    pre_scaled boolean DEFAULT false, created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now()
);
CREATE TABLE ticket_types (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event_id uuid, name varchar(255), price integer,
    total_quantity integer, available_quantity integer, description text, created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now()
);
CREATE TABLE seats (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), event_id uuid, section varchar(50), row_number integer,
    seat_number integer, seat_label varchar(50), price integer, status varchar(20) DEFAULT 'available',
    created_at timestamp DEFAULT now(), updated_at timestamp DEFAULT now()
);
CREATE TABLE reservations (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, event_id uuid, reservation_number varchar(50),
    total_amount integer, status varchar(20) DEFAULT 'pending', payment_method varchar(50),
    payment_status varchar(20) DEFAULT 'pending', expires_at timestamp, created_at timestamp DEFAULT now(),
    updated_at timestamp DEFAULT now()
);
CREATE TABLE reservation_items (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), reservation_id uuid, ticket_type_id uuid, seat_id uuid,
    quantity integer DEFAULT 1, unit_price integer, subtotal integer, created_at timestamp DEFAULT now()
);
CREATE TABLE keyword_mappings (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), korean varchar(255), english varchar(255), entity_type varchar(50),
    created_at timestamp DEFAULT now()
);
"""
# Of each event's 1000 seats: 1-200 sold, two to a reservation; 201-210 locked; 211-250 were cancelled, and seat 1 was, too,
# before it was sold. The sale of event 2 has begun, though its status
# says otherwise. The first reservation was made half an hour after midnight in Seoul.
ROWS = """
SET timezone = 'Asia/Seoul';
CREATE FUNCTION made(kind text, event bigint, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT (kind || lpad(to_hex(event), 4, '0') || '-0000-4000-8000-' || lpad(to_hex(number), 12, '0'))::uuid $$;
INSERT INTO users SELECT made('05e2', 0, n), 'user' || n || '@example.com' FROM generate_series(1, 50) n;
INSERT INTO news (title) VALUES ('opening soon');
INSERT INTO seat_layouts VALUES (made('1a40', 0, 1), 'hall', NULL, 1000,
    '{"sections": [{"name": "A", "rows": 20, "seatsPerRow": 50, "price": 100000, "startRow": 1}]}',
    '2026-03-01 00:30:00', '2026-03-01 00:30:00');
INSERT INTO events SELECT made('e0e0', e, 0), '공연 ' || e, 'says "yes"' || E'\\n\\ttwo\\\\lines', '고척돔', NULL,
    '2030-06-01 00:30:00', CASE WHEN e <= 2 THEN '2026-03-01 00:00:00' ELSE '2030-05-01 00:00:00' END::timestamp,
    '2030-05-31 23:59:59.123456', NULL, CASE WHEN e <= 1 THEN 'on_sale' ELSE 'upcoming' END,
    CASE e WHEN 0 THEN NULL ELSE made('1a40', 0, 1) END, '아이유', false,
    '2026-03-01 08:59:59', '2026-03-01 09:00:00' FROM generate_series(0, {events}) e;
INSERT INTO ticket_types SELECT made('71c0', e, 1), made('e0e0', e, 0), '스탠딩', 50000, 1000, 1000 - 3 * 4, NULL
    FROM generate_series(0, {events}) e;
INSERT INTO seats (id, event_id, section, row_number, seat_number, seat_label, price, status)
    SELECT made('5ea7', e, n), made('e0e0', e, 0), 'A', (n - 1) / 50 + 1, (n - 1) % 50 + 1,
    'A-' || (n - 1) / 50 + 1 || '-' || (n - 1) % 50 + 1, 100000 + n,
    CASE WHEN n <= 200 THEN 'reserved' WHEN n <= 210 THEN 'locked' ELSE 'available' END
    FROM generate_series(1, {events}) e, generate_series(1, 1000) n;
INSERT INTO reservations SELECT made('4e50', e, n), made('05e2', 0, n % 50 + 1), made('e0e0', e, 0), 'TK' || e || '-' || n,
    2 * 100000 + (2 * n - 1) + 2 * n, CASE WHEN n <= 100 THEN 'confirmed' WHEN n <= 105 THEN 'pending' ELSE 'cancelled' END,
    CASE WHEN n <= 100 THEN 'card' END,
    CASE WHEN n <= 100 THEN 'completed' WHEN n <= 105 THEN 'pending' ELSE 'refunded' END,
    CASE WHEN n <= 105 THEN '2035-01-01 00:00:00' ELSE '2026-03-01 00:05:00' END::timestamp,
    '2026-03-01 00:30:00.654321'::timestamp + n * interval '1 minute', '2026-03-01 01:00:00'
    FROM generate_series(1, {events}) e, generate_series(1, 125) n;
INSERT INTO reservation_items (id, reservation_id, seat_id, unit_price, subtotal)
    SELECT made('4100', e, s), made('4e50', e, (s + 1) / 2), made('5ea7', e, s), 100000 + s, 100000 + s
    FROM generate_series(1, {events}) e, generate_series(1, 250) s;
INSERT INTO reservations SELECT made('4e50', e, 1000), made('05e2', 0, 1), made('e0e0', e, 0), 'TK' || e || '-1000', 100001,
    'cancelled', NULL, 'failed', '2026-02-01 00:05:00', '2026-02-01', '2026-02-01' FROM generate_series(1, {events}) e;
INSERT INTO reservation_items (id, reservation_id, seat_id, unit_price, subtotal)
    SELECT made('4100', e, 1000), made('4e50', e, 1000), made('5ea7', e, 1), 100001, 100001
    FROM generate_series(1, {events}) e;
INSERT INTO reservations SELECT made('4e50', e, 2000 + n), made('05e2', 0, n), made('e0e0', e, 0), 'TK' || e || '-t' || n,
    3 * 50000, CASE n WHEN 4 THEN 'pending' WHEN 5 THEN 'cancelled' ELSE 'confirmed' END, 'card',
    CASE n WHEN 4 THEN 'pending' WHEN 5 THEN 'refunded' ELSE 'completed' END, NULL, '2026-03-01 23:59:00',
    '2026-03-01 23:59:00' FROM generate_series(0, {events}) e, generate_series(1, 5) n;
INSERT INTO reservation_items (id, reservation_id, ticket_type_id, quantity, unit_price, subtotal)
    SELECT made('4100', e, 2000 + n), made('4e50', e, 2000 + n), made('71c0', e, 1), 3, 50000, 150000
    FROM generate_series(0, {events}) e, generate_series(1, 5) n;
INSERT INTO keyword_mappings VALUES (made('4e1d', 0, 1), '아이유', 'IU', 'artist', '2026-03-01 00:00:00');
"""


def made(kind: str, event: int, number: int) -> str:
    """The id of a row above."""
    return f"{kind}{event:04x}-0000-4000-8000-{number:012x}"


def create_old_service(url: str, *, seats: int) -> None:
    """Fills an empty database; `seats` is rounded to thousands."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(ROWS.replace("{events}", str(seats // SEATS_PER_EVENT)))

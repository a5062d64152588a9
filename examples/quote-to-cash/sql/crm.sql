-- The CRM: sales' view. Flat accounts with the billing address in columns, as most CRMs keep them.
-- `fieldwarden_id` is the one column added for replication: it carries the record id that links the systems.

create sequence account_number;
create sequence contact_number;
create sequence opportunity_number;

create table product (
    sku         text primary key,
    name        text not null,
    unit        text,
    list_price  numeric(12,2) not null default 0,
    active      boolean not null default true,
    updated_at  timestamptz not null default now()
);

create table account (
    id                  text primary key default 'C-' || nextval('account_number'),
    name                text not null,
    vat_number          text,
    website             text,
    email               text,
    phone               text,
    language            text,
    billing_street      text,
    billing_city        text,
    billing_postal_code text,
    billing_country     text,
    segment             text check (segment in ('SMB', 'Mid-Market', 'Enterprise')),
    owner_name          text,
    payment_terms       text,                    -- shown to sales; finance decides
    credit_limit        numeric(14,2),           -- shown to sales; finance decides
    currency            text,
    credit_hold         boolean not null default false,
    fieldwarden_id      text unique,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now()
);

create table contact (
    id              text primary key default 'P-' || nextval('contact_number'),
    account_id      text not null references account (id) on delete cascade,
    first_name      text,
    last_name       text not null,
    email           text,
    phone           text,
    title           text,
    fieldwarden_id  text unique,
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now()
);
create index contact_account on contact (account_id);

create table opportunity (
    id                  text primary key default 'O-' || nextval('opportunity_number'),
    account_id          text not null references account (id) on delete cascade,
    name                text not null,
    stage               text not null default 'Qualification',
    product_sku         text references product (sku),
    quantity            integer not null default 1,
    unit_price          numeric(12,2),
    currency            text,
    close_date          date,
    subscription_status text,                    -- written back from billing
    fieldwarden_id      text unique,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now()
);
create index opportunity_account on opportunity (account_id);

create function touch() returns trigger language plpgsql as $$
begin
    new.updated_at := clock_timestamp();
    return new;
end $$;
create trigger touch before update on product for each row execute function touch();
create trigger touch before update on account for each row execute function touch();
create trigger touch before update on contact for each row execute function touch();
create trigger touch before update on opportunity for each row execute function touch();

insert into product
    (sku, name, unit, list_price, active, updated_at)
values
    ('FW-SEAT', 'Team seat, monthly', 'user', 29.00, true, '2025-01-02 08:00:00+00'),
    ('FW-SEAT-Y', 'Team seat, yearly', 'user', 290.00, true, '2025-01-02 08:00:00+00'),
    ('FW-CORE', 'Platform licence, yearly', 'each', 4800.00, true, '2025-01-02 08:00:00+00'),
    ('FW-EDGE', 'Edge node, yearly', 'each', 1250.00, true, '2025-01-02 08:00:00+00'),
    ('FW-STORE', 'Storage, per TB and month', 'TB', 18.50, true, '2025-01-02 08:00:00+00'),
    ('FW-SUPP', 'Premium support, yearly', 'each', 2400.00, true, '2025-01-02 08:00:00+00'),
    ('FW-ONB', 'Onboarding package', 'each', 3500.00, true, '2025-01-02 08:00:00+00'),
    ('FW-TRAIN', 'Training day on site', 'day', 1450.00, true, '2025-01-02 08:00:00+00'),
    ('FW-CONS', 'Consulting hour', 'hour', 165.00, true, '2025-01-02 08:00:00+00'),
    ('FW-BOOK', 'Handbook (print)', 'each', 39.00, true, '2025-01-02 08:00:00+00'),
    ('FW-TRAVEL', 'Travel, at cost', 'each', 0.00, true, '2025-01-02 08:00:00+00'),
    ('FW-LEGACY', 'Legacy connector (no longer sold)', 'each', 990.00, false, '2025-01-02 08:00:00+00');

insert into account
    (id, name, vat_number, website, email, phone, language, billing_street, billing_city, billing_postal_code, billing_country, segment, owner_name, payment_terms, credit_limit, currency, credit_hold, created_at, updated_at)
values
    ('C-1001', 'Müller Maschinenbau', 'DE204729313', null, 'accounts@mueller-maschinenbau.example', '+49 20 2234567', null, 'Industriestraße 14', 'Stuttgart', '70565', 'DE', 'Mid-Market', 'Priya Raman', 'Net 30', 25000.00, 'EUR', false, '2024-03-01 09:00:00+00', '2024-04-03 14:00:00+00'),
    ('C-1002', 'Harbour & Finch Ltd', 'GB212649026', 'https://www.harbourfinch.example', 'billing@harbourfinch.example', '+44 73 2242284', 'en', '22 Redcliffe Parade', 'Bristol', 'BS1 4RN', 'GB', 'Mid-Market', 'Tom Whitfield', 'Net 30', 40000.00, 'GBP', false, '2024-04-07 09:01:00+00', '2024-05-10 14:07:00+00'),
    ('C-1003', 'Atelier Dubreuil SAS', 'FR24220568739', 'https://www.atelier-dubreuil.example', 'finance@atelier-dubreuil.example', null, 'fr', '118 rue de Créqui', 'Lyon', '69003', 'FR', 'SMB', 'Sofia Lindgren', 'Net 60', 10000.00, 'EUR', false, '2024-05-14 09:02:00+00', '2024-06-16 14:14:00+00'),
    ('C-1004', 'Nordwind Logistik AG', 'DE 228 488 452', 'https://www.nordwind-logistik.example', 'ap@nordwind-logistik.example', '+49 99 2257718', 'de', 'Am Sandtorkai 50', 'Hamburg', '20457', 'DE', 'Enterprise', 'Marc Delacroix', 'Net 30', 150000.00, 'EUR', false, '2024-06-20 09:03:00+00', '2024-07-23 14:21:00+00'),
    ('C-1005', 'Costa Brava Conservas SL', 'ESB36408165', 'https://www.costabrava-conservas.example', 'accounts@costabrava-conservas.example', '+34 72 2265435', 'es', 'Carrer de la Sèquia 9', 'Girona', '17001', 'ES', 'SMB', 'Priya Raman', 'Net 30', 5000.00, 'EUR', false, '2024-07-27 09:04:00+00', '2024-08-29 14:28:00+00'),
    ('C-1006', 'Van Leeuwen Techniek BV', 'NL244327878B01', 'https://www.vanleeuwen-techniek.example', 'pieter.jansen@vanleeuwen-techniek.example', '+31 45 2273152', null, 'Kruisstraat 71', 'Eindhoven', '5611 EM', 'NL', 'Mid-Market', 'Tom Whitfield', 'Prepaid', 40000.00, 'EUR', false, '2024-09-02 09:05:00+00', '2024-10-05 14:35:00+00'),
    ('C-1007', 'Officine Berti SpA', 'IT00252247591', null, 'finance@officineberti.example', '+39 98 2280869', 'it', 'Via Stalingrado 33', 'Bologna', '40128', 'IT', 'Mid-Market', 'Sofia Lindgren', 'Net 14', 120000.00, 'EUR', false, '2024-10-09 09:06:00+00', '2024-11-11 14:42:00+00'),
    ('C-1008', 'Lakeside Medical Supply Inc', '26-0167304', 'https://www.lakesidemedical.example', 'ap@lakesidemedical.example', '+1 71 2288586', 'en', '410 East Wilson St', 'Madison', '53703', 'US', 'Enterprise', 'Marc Delacroix', 'Net 30', 250000.00, 'USD', false, '2024-11-15 09:07:00+00', '2024-12-18 14:49:00+00'),
    ('C-1009', 'Brouwerij De Linde NV', 'BE0268087017', 'https://www.delinde.example', 'accounts@delinde.example', '+32 44 2296303', 'fr', 'Coupure Links 240', 'Gent', '9000', 'BE', 'SMB', 'Priya Raman', 'Net 30', 5000.00, 'EUR', false, '2024-12-22 09:08:00+00', '2025-01-24 14:56:00+00'),
    ('C-1010', 'Kowalski Transport Sp. z o.o.', 'PL1932047110', 'https://www.kowalski-transport.example', 'billing@kowalski-transport.example', '+48 97 2304020', 'en', 'ul. Towarowa 35', 'Poznań', '61-894', 'PL', 'Mid-Market', 'Tom Whitfield', 'Net 60', 40000.00, 'EUR', false, '2025-01-28 09:09:00+00', '2025-03-02 14:03:00+00'),
    ('C-1011', 'Aurora Textil Oy', 'FI 839 264 43', 'https://www.auroratextil.example', 'finance@auroratextil.example', null, null, 'Hämeenkatu 16', 'Tampere', '33100', 'FI', 'SMB', 'Sofia Lindgren', 'Net 30', 10000.00, 'EUR', false, '2025-03-06 09:10:00+00', '2025-04-08 14:10:00+00'),
    ('C-1012', 'Steiner Präzision AG', 'CHE-291.846.156', 'https://www.steiner-praezision.example', 'ap@steiner-praezision.example', '+41 43 2319454', 'de', 'Zürcherstrasse 12', 'Winterthur', '8400', 'CH', 'Mid-Market', 'Marc Delacroix', 'Net 45', 75000.00, 'CHF', false, '2025-04-12 09:11:00+00', '2024-03-11 14:17:00+00'),
    ('C-1013', 'Greenfield Dairy Co-op', 'IE9765869T', null, 'accounts@greenfielddairy.example', '+353 96 2327171', 'en', '7 Penrose Quay', 'Cork', 'T12 W8KP', 'IE', 'Mid-Market', 'Priya Raman', 'Prepaid', 25000.00, 'EUR', false, '2024-03-15 09:12:00+00', '2024-04-17 14:24:00+00'),
    ('C-1014', 'Fjordkraft Energi AS', 'NO307685582MVA', 'https://www.fjordkraft-energi.example', 'billing@fjordkraft-energi.example', '+47 69 2334888', 'en', 'Vågsallmenningen 1', 'Bergen', '5003', 'NO', 'Enterprise', 'Tom Whitfield', 'Net 14', 250000.00, 'EUR', true, '2024-04-21 09:13:00+00', '2024-05-24 14:31:00+00'),
    ('C-1015', 'Lindqvist & Söner AB', 'SE315605295001', 'https://www.lindqvistsoner.example', 'finance@lindqvistsoner.example', '+46 42 2342605', 'en', 'Stampgatan 20', 'Göteborg', '411 04', 'SE', 'Mid-Market', 'Sofia Lindgren', 'Net 30', 60000.00, 'EUR', false, '2024-05-28 09:14:00+00', '2024-06-30 14:38:00+00'),
    ('C-1016', 'Alpenblick Hotels GmbH', 'ATU23525008', 'https://www.alpenblick-hotels.example', 'katharina.gruber@alpenblick-hotels.example', '+43 95 2350322', null, 'Maria-Theresien-Straße 8', 'Innsbruck', '6020', 'AT', 'Mid-Market', 'Marc Delacroix', 'Net 60', 75000.00, 'EUR', false, '2024-07-04 09:15:00+00', '2024-08-06 14:45:00+00'),
    ('C-1017', 'Pacific Crest Outfitters LLC', '33-1444721', 'https://www.pacificcrest.example', 'accounts@pacificcrest.example', '+1 68 2358039', 'en', '1221 NW 13th Avenue', 'Portland', '97209', 'US', 'SMB', 'Priya Raman', 'Net 60', 5000.00, 'USD', false, '2024-08-10 09:16:00+00', '2024-09-12 14:52:00+00'),
    ('C-1018', 'Quinta do Vale Vinhos Lda', 'PT 339 364 434', 'https://www.quintadovale.example', 'billing@quintadovale.example', '+351 41 2365756', 'en', 'Rua de Miragaia 64', 'Porto', '4050-253', 'PT', 'SMB', 'Tom Whitfield', 'Net 30', 7500.00, 'EUR', false, '2024-09-16 09:17:00+00', '2024-10-19 14:59:00+00'),
    ('C-1019', 'Hellas Marine Services', 'EL347284147', null, 'finance@hellasmarine.example', null, 'en', 'Akti Miaouli 85', 'Piraeus', '185 35', 'GR', 'Mid-Market', 'Sofia Lindgren', 'Net 45', 60000.00, 'EUR', false, '2024-10-23 09:18:00+00', '2024-11-25 14:06:00+00'),
    ('C-1020', 'Dansk Vindteknik A/S', 'DK55203860', 'https://www.danskvind.example', 'ap@danskvind.example', '+45 67 2381190', 'en', 'Åboulevarden 31', 'Aarhus', '8000', 'DK', 'Enterprise', 'Marc Delacroix', 'Prepaid', 500000.00, 'EUR', false, '2024-11-29 09:19:00+00', '2025-01-01 14:13:00+00'),
    ('C-1021', 'Ostermann Labor GmbH & Co. KG', 'DE363123573', 'https://www.ostermann-labor.example', 'accounts@ostermann-labor.example', '+49 40 2388907', null, 'Robert-Koch-Straße 40', 'Göttingen', '37075', 'DE', 'Mid-Market', 'Priya Raman', 'Net 14', 25000.00, 'EUR', false, '2025-01-05 09:20:00+00', '2025-02-07 14:20:00+00'),
    ('C-1022', 'Whitcombe Joinery Ltd', 'GB371043286', 'https://www.whitcombejoinery.example', 'billing@whitcombejoinery.example', '+44 93 2396624', 'en', '3 Southernhay West', 'Exeter', 'EX1 1GE', 'GB', 'SMB', 'Tom Whitfield', 'Net 30', 7500.00, 'GBP', false, '2025-02-11 09:21:00+00', '2025-03-16 14:27:00+00'),
    ('C-1023', 'Boulangerie Mercier SARL', 'FR74378962999', 'https://www.boulangerie-mercier.example', 'finance@boulangerie-mercier.example', '+33 66 2404341', 'fr', '9 rue Crébillon', 'Nantes', '44000', 'FR', 'SMB', 'Sofia Lindgren', 'Net 30', 10000.00, 'EUR', false, '2025-03-20 09:22:00+00', '2025-04-22 14:34:00+00'),
    ('C-1024', 'Rijnstroom Verpakking BV', 'NL386882712B01', 'https://www.rijnstroom.example', 'ap@rijnstroom.example', '+31 39 2412058', 'nl', 'Boompjes 57', 'Rotterdam', '3011 AA', 'NL', 'Mid-Market', 'Marc Delacroix', 'Net 60', 75000.00, 'EUR', false, '2025-04-26 09:23:00+00', '2024-03-25 14:41:00+00'),
    ('C-1025', 'Ferretti Ceramiche Srl', 'IT 003 948 02425', null, 'accounts@ferretti-ceramiche.example', '+39 92 2419775', 'it', 'Via Emilia Est 210', 'Modena', '41121', 'IT', 'Mid-Market', 'Priya Raman', 'Net 30', 25000.00, 'EUR', false, '2024-03-29 09:24:00+00', '2024-05-01 14:48:00+00'),
    ('C-1026', 'Iberia Solar Instalaciones SA', 'ESB02722138', 'https://www.iberiasolar.example', 'lucia.navarro@iberiasolar.example', '+34 65 2427492', null, 'Avenida de la Palmera 28', 'Sevilla', '41013', 'ES', 'Enterprise', 'Tom Whitfield', 'Net 45', 250000.00, 'EUR', false, '2024-05-05 09:25:00+00', '2024-06-07 14:55:00+00'),
    ('C-1027', 'Blue Ridge Analytics Inc', '41-0641851', 'https://www.blueridgeanalytics.example', 'finance@blueridgeanalytics.example', null, 'en', '60 Biltmore Avenue', 'Asheville', '28801', 'US', 'Mid-Market', 'Sofia Lindgren', 'Net 30', 60000.00, 'USD', false, '2024-06-11 09:26:00+00', '2024-07-14 14:02:00+00'),
    ('C-1028', 'Kastner Druck', 'ATU18561564', 'https://www.kastner-druck.example', 'ap@kastner-druck.example', '+43 91 2442926', 'de', 'Landstraße 49', 'Linz', '4020', 'AT', 'SMB', 'Marc Delacroix', 'Net 14', 12000.00, 'EUR', false, '2024-07-18 09:27:00+00', '2024-08-20 14:09:00+00'),
    ('C-1029', 'Baltic Timber Trade UAB', 'LT426481277', 'https://www.baltictimber.example', 'accounts@baltictimber.example', '+370 64 2450643', 'en', 'Danės g. 6', 'Klaipėda', '92131', 'LT', 'Mid-Market', 'Priya Raman', 'Net 30', 25000.00, 'EUR', false, '2024-08-24 09:28:00+00', '2024-09-26 14:16:00+00'),
    ('C-1030', 'Moravské Sklo s.r.o.', 'CZ34400990', 'https://www.moravskesklo.example', 'billing@moravskesklo.example', '+420 37 2458360', 'en', 'Údolní 33', 'Brno', '602 00', 'CZ', 'SMB', 'Tom Whitfield', 'Net 30', 7500.00, 'EUR', false, '2024-09-30 09:29:00+00', '2024-11-02 14:23:00+00'),
    ('C-1031', 'Thames Valley Robotics plc', 'GB442320703', null, 'finance@tvrobotics.example', '+44 90 2466077', null, 'Abbey Square 5', 'Reading', 'RG1 3EU', 'GB', 'Enterprise', 'Sofia Lindgren', 'Net 60', 150000.00, 'GBP', false, '2024-11-06 09:30:00+00', '2024-12-09 14:30:00+00'),
    ('C-1032', 'Rousseau Instruments SA', 'FR 474 502 40416', 'https://www.rousseau-instruments.example', 'ap@rousseau-instruments.example', '+33 63 2473794', 'fr', '27 allée Jean Jaurès', 'Toulouse', '31000', 'FR', 'Mid-Market', 'Marc Delacroix', 'Net 30', 75000.00, 'EUR', false, '2024-12-13 09:31:00+00', '2025-01-15 14:37:00+00'),
    ('C-1033', 'Schmidt & Töchter Bau GmbH', 'DE458160129', 'https://www.schmidt-toechter.example', 'accounts@schmidt-toechter.example', '+49 36 2481511', 'de', 'Thomaskirchhof 11', 'Leipzig', '04109', 'DE', 'Mid-Market', 'Priya Raman', 'Net 45', 50000.00, 'EUR', false, '2025-01-19 09:32:00+00', '2025-02-21 14:44:00+00'),
    ('C-1034', 'Meridian Freight Forwarding Ltd', 'GB466079842', 'https://www.meridianfreight.example', 'billing@meridianfreight.example', '+44 89 2489228', 'en', 'Dock Gate 1', 'Felixstowe', 'IP11 3SY', 'GB', 'Mid-Market', 'Tom Whitfield', 'Prepaid', 40000.00, 'GBP', false, '2025-02-25 09:33:00+00', '2025-03-30 14:51:00+00'),
    ('C-1035', 'Olivares Hermanos SL', 'ESB73999555', 'https://www.olivares-hermanos.example', 'finance@olivares-hermanos.example', null, 'es', 'Calle Maestra 15', 'Jaén', '23001', 'ES', 'SMB', 'Sofia Lindgren', 'Net 14', 10000.00, 'EUR', true, '2025-04-03 09:34:00+00', '2024-03-02 14:58:00+00'),
    ('C-1036', 'Zuiderpark Clinics BV', 'NL481919268B01', 'https://www.zuiderparkclinics.example', 'femke.visser@zuiderparkclinics.example', '+31 35 2504662', null, 'Spui 70', 'Den Haag', '2512 GB', 'NL', 'Mid-Market', 'Marc Delacroix', 'Net 30', 75000.00, 'EUR', false, '2024-03-06 09:35:00+00', '2024-04-08 14:05:00+00'),
    ('C-1037', 'Lombardi Automazione', 'IT00489838981', null, 'accounts@lombardi-automazione.example', '+39 88 2512379', 'it', 'Via Camozzi 77', 'Bergamo', '24122', 'IT', 'Enterprise', 'Priya Raman', 'Net 30', 150000.00, 'EUR', false, '2024-04-12 09:36:00+00', '2024-05-15 14:12:00+00'),
    ('C-1038', 'Prairie Wind Farms LLC', '49-7758694', 'https://www.prairiewind.example', 'billing@prairiewind.example', '+1 61 2520096', 'en', '1299 Farnam Street', 'Omaha', '68102', 'US', 'Mid-Market', 'Tom Whitfield', 'Net 30', 40000.00, 'USD', false, '2024-05-19 09:37:00+00', '2024-06-21 14:19:00+00'),
    ('C-1039', 'Nowak Meble S.A.', 'PL 353 974 8849', 'https://www.nowakmeble.example', 'finance@nowakmeble.example', '+48 34 2527813', 'en', 'ul. Ruska 51', 'Wrocław', '50-079', 'PL', 'Mid-Market', 'Sofia Lindgren', 'Net 30', 60000.00, 'EUR', false, '2024-06-25 09:38:00+00', '2024-07-28 14:26:00+00'),
    ('C-1040', 'Skåne Livs AB', 'SE513598120001', 'https://www.skanelivs.example', 'ap@skanelivs.example', '+46 87 2535530', 'en', 'Stortorget 17', 'Malmö', '211 22', 'SE', 'SMB', 'Marc Delacroix', 'Net 45', 12000.00, 'EUR', false, '2024-08-01 09:39:00+00', '2024-09-03 14:33:00+00'),
    ('C-1041', 'Saimaa Paper Oyj', 'FI21517833', 'https://www.saimaapaper.example', 'accounts@saimaapaper.example', '+358 60 2543247', null, 'Kauppakatu 40', 'Lappeenranta', '53100', 'FI', 'Enterprise', 'Priya Raman', 'Prepaid', 250000.00, 'EUR', false, '2024-09-07 09:40:00+00', '2024-10-10 14:40:00+00'),
    ('C-1042', 'Brightwater Aquatics Ltd', 'GB529437546', 'https://www.brightwater.example', 'billing@brightwater.example', '+44 33 2550964', 'en', '14 Pier Road', 'Whitby', 'YO21 3PU', 'GB', 'SMB', 'Tom Whitfield', 'Net 14', 7500.00, 'GBP', false, '2024-10-14 09:41:00+00', '2024-11-16 14:47:00+00'),
    ('C-1043', 'Keller Optik GmbH', 'DE537357259', null, 'finance@keller-optik.example', null, 'de', 'Carl-Zeiß-Platz 12', 'Jena', '07743', 'DE', 'Mid-Market', 'Sofia Lindgren', 'Net 30', 60000.00, 'EUR', false, '2024-11-20 09:42:00+00', '2024-12-23 14:54:00+00'),
    ('C-1044', 'Genève Horlogerie Fine SA', 'CHE-545.276.972', 'https://www.geneve-horlogerie.example', 'ap@geneve-horlogerie.example', '+41 59 2566398', 'de', 'Rue du Rhône 80', 'Genève', '1204', 'CH', 'Enterprise', 'Marc Delacroix', 'Net 30', 250000.00, 'CHF', false, '2024-12-27 09:43:00+00', '2025-01-29 14:01:00+00'),
    ('C-1045', 'Danube Software Kft', 'HU53196685', 'https://www.danubesoftware.example', 'accounts@danubesoftware.example', '+36 32 2574115', 'en', 'Október 6. utca 7', 'Budapest', '1051', 'HU', 'SMB', 'Priya Raman', 'Net 60', 5000.00, 'EUR', false, '2025-02-02 09:44:00+00', '2025-03-07 14:08:00+00'),
    ('C-1046', 'Clonakilty Foods', 'IE 111 639 8T', 'https://www.clonakiltyfoods.example', 'niamh.byrne@clonakiltyfoods.example', '+353 85 2581832', null, '12 Pearse Street', 'Clonakilty', 'P85 X970', 'IE', 'SMB', 'Tom Whitfield', 'Net 30', 15000.00, 'EUR', false, '2025-03-11 09:45:00+00', '2025-04-13 14:15:00+00'),
    ('C-1047', 'Azur Yachting SARL', 'FR62569036111', 'https://www.azuryachting.example', 'finance@azuryachting.example', '+33 58 2589549', 'fr', '4 quai Rambaud', 'Antibes', '06600', 'FR', 'Mid-Market', 'Sofia Lindgren', 'Net 45', 60000.00, 'EUR', false, '2025-04-17 09:46:00+00', '2024-03-16 14:22:00+00'),
    ('C-1048', 'Portland Stone Works Ltd', 'GB576955824', 'https://www.portlandstone.example', 'ap@portlandstone.example', '+44 31 2597266', 'en', '9 Custom House Quay', 'Weymouth', 'DT4 8TR', 'GB', 'SMB', 'Marc Delacroix', 'Prepaid', 12000.00, 'GBP', false, '2024-03-20 09:47:00+00', '2024-04-22 14:29:00+00'),
    ('C-1049', 'Vogel Elektronik GmbH', 'DE584875537', null, 'accounts@vogel-elektronik.example', '+49 84 2604983', 'de', 'Prager Straße 2', 'Dresden', '01069', 'DE', 'Mid-Market', 'Priya Raman', 'Net 30', 25000.00, 'EUR', false, '2024-04-26 09:48:00+00', '2024-05-29 14:36:00+00'),
    ('C-1050', 'Trondheim Seafood AS', 'NO592795250MVA', 'https://www.trondheimseafood.example', 'billing@trondheimseafood.example', '+47 57 2612700', 'en', 'Kjøpmannsgata 38', 'Trondheim', '7010', 'NO', 'Mid-Market', 'Tom Whitfield', 'Net 30', 40000.00, 'EUR', false, '2024-06-02 09:49:00+00', '2024-07-05 14:43:00+00'),
    ('C-1051', 'Cascade Coffee Roasters Inc', '60-0714963', 'https://www.cascadecoffee.example', 'finance@cascadecoffee.example', null, null, '501 2nd Avenue South', 'Seattle', '98104', 'US', 'SMB', 'Sofia Lindgren', 'Net 30', null, 'USD', false, '2024-07-09 09:50:00+00', '2024-08-11 14:50:00+00'),
    ('C-1052', 'Bruxelles Éditions SA', 'BE0608634676', 'https://www.bruxelles-editions.example', 'ap@bruxelles-editions.example', '+32 83 2628134', 'fr', 'Rue Ravenstein 23', 'Bruxelles', '1000', 'BE', 'SMB', 'Marc Delacroix', 'Net 60', null, 'EUR', false, '2024-08-15 09:51:00+00', '2024-09-17 14:57:00+00'),
    ('C-1053', 'Adriatic Ship Repair d.d.', 'HR 018 496 63167', 'https://www.adriaticshiprepair.example', 'accounts@adriaticshiprepair.example', '+385 56 2635851', 'en', 'Riva 10', 'Rijeka', '51000', 'HR', 'Mid-Market', 'Priya Raman', 'Net 30', null, 'EUR', false, '2024-09-21 09:52:00+00', '2024-10-24 14:04:00+00'),
    ('C-1054', 'Mayfield Architects LLP', 'GB624474102', 'https://www.mayfieldarchitects.example', 'billing@mayfieldarchitects.example', '+44 29 2643568', 'en', '31 Park Row', 'Leeds', 'LS1 4DY', 'GB', 'SMB', 'Tom Whitfield', 'Net 45', null, 'GBP', false, '2024-10-28 09:53:00+00', '2024-11-30 14:11:00+00'),
    ('C-1055', 'Riva Tessuti Srl', 'IT00632393815', null, 'finance@rivatessuti.example', '+39 82 2651285', 'it', 'Via Volta 54', 'Como', '22100', 'IT', 'SMB', 'Sofia Lindgren', 'Prepaid', null, 'EUR', false, '2024-12-04 09:54:00+00', '2025-01-06 14:18:00+00'),
    ('C-1056', 'Hansen Kølesystemer A/S', 'DK40313528', 'https://www.hansenkol.example', 'soren.moller@hansenkol.example', '+45 55 2659002', null, 'Vestergade 12', 'Odense', '5000', 'DK', 'Mid-Market', 'Marc Delacroix', 'Net 14', 75000.00, 'EUR', false, '2025-01-10 09:55:00+00', '2025-02-12 14:25:00+00'),
    ('C-1057', 'Weber Verlag GmbH', 'DE648233241', 'https://www.weber-verlag.example', 'accounts@weber-verlag.example', '+49 28 2666719', 'de', 'Bertoldstraße 8', 'Freiburg', '79098', 'DE', 'SMB', 'Priya Raman', 'Net 30', 5000.00, 'EUR', false, '2025-02-16 09:56:00+00', '2025-03-21 14:32:00+00'),
    ('C-1058', 'Sierra Nevada Agro SA', 'ESB56152954', 'https://www.sierranevadaagro.example', 'billing@sierranevadaagro.example', '+34 81 2674436', 'es', 'Carrera del Genil 21', 'Granada', '18009', 'ES', 'Mid-Market', 'Tom Whitfield', 'Net 30', 40000.00, 'EUR', false, '2025-03-25 09:57:00+00', '2025-04-27 14:39:00+00'),
    ('C-1059', 'Great Plains Tooling Corp', '66-4072667', 'https://www.greatplainstooling.example', 'finance@greatplainstooling.example', null, 'en', '150 North Main Street', 'Wichita', '67202', 'US', 'Mid-Market', 'Sofia Lindgren', null, null, null, false, '2025-05-01 09:58:00+00', '2024-03-30 14:46:00+00'),
    ('C-1060', 'Tulipe Cosmétiques SAS', 'FR 636 719 92380', 'https://www.tulipe-cosmetiques.example', 'ap@tulipe-cosmetiques.example', '+33 27 2689870', 'fr', '52 rue Esquermoise', 'Lille', '59800', 'FR', 'SMB', 'Marc Delacroix', null, null, null, false, '2024-04-03 09:59:00+00', '2024-05-06 14:53:00+00'),
    ('C-1061', 'Orchard Lane Nurseries Ltd', 'GB679912093', null, 'accounts@orchardlane.example', '+44 80 2697587', null, '6 Broad Street', 'Hereford', 'HR1 2BP', 'GB', 'SMB', 'Priya Raman', null, null, null, false, '2024-05-10 09:00:00+00', '2024-06-12 14:00:00+00');

insert into contact
    (id, account_id, first_name, last_name, email, phone, title, created_at, updated_at)
values
    ('P-3001', 'C-1001', 'Anna', 'Hoffmann', 'anna.hoffmann@mueller-maschinenbau.example', null, 'Accounts Payable', '2024-04-25 10:00:00+00', '2024-05-06 11:00:00+00'),
    ('P-3002', 'C-1001', 'Beatriz', 'Svoboda', 'beatriz.svoboda@mueller-maschinenbau.example', null, 'Finance Director', '2024-04-25 10:00:00+00', '2024-05-06 11:00:00+00'),
    ('P-3003', 'C-1002', 'Jonas', 'Becker', 'jonas.becker@harbourfinch.example', '+44 73 2242284', 'Head of Purchasing', '2024-06-01 10:01:00+00', '2024-06-12 11:01:00+00'),
    ('P-3004', 'C-1003', 'Claire', 'Fontaine', 'claire.fontaine@atelier-dubreuil.example', '+33 46 2250001', 'Finance Director', '2024-07-08 10:02:00+00', '2024-07-19 11:02:00+00'),
    ('P-3005', 'C-1004', 'Lukas', 'Petersen', 'lukas.petersen@nordwind-logistik.example', null, 'Office Manager', '2024-08-14 10:03:00+00', '2024-08-25 11:03:00+00'),
    ('P-3006', 'C-1005', 'Elena', 'Ferrer', 'elena.ferrer@costabrava-conservas.example', '+34 72 2265435', 'Managing Director', '2024-09-20 10:04:00+00', '2024-10-01 11:04:00+00'),
    ('P-3007', 'C-1006', 'Pieter', 'Jansen', 'pieter.jansen@vanleeuwen-techniek.example', '+31 45 2273152', 'Accounts Payable', '2024-10-27 10:05:00+00', '2024-11-07 11:05:00+00'),
    ('P-3008', 'C-1007', 'Giulia', 'Ricci', 'giulia.ricci@officineberti.example', null, 'Head of Purchasing', '2024-12-03 10:06:00+00', '2024-12-14 11:06:00+00'),
    ('P-3009', 'C-1007', 'Joost', 'Visser', 'joost.visser@officineberti.example', null, 'Office Manager', '2024-12-03 10:06:00+00', '2024-12-14 11:06:00+00'),
    ('P-3010', 'C-1008', 'Sarah', 'Thompson', 'sarah.thompson@lakesidemedical.example', '+1 71 2288586', 'Finance Director', '2025-01-09 10:07:00+00', '2025-01-20 11:07:00+00'),
    ('P-3011', 'C-1009', 'Bram', 'Peeters', 'bram.peeters@delinde.example', '+32 44 2296303', 'Office Manager', '2025-02-15 10:08:00+00', '2025-02-26 11:08:00+00'),
    ('P-3012', 'C-1010', 'Agnieszka', 'Wiśniewska', 'agnieszka.wisniewska@kowalski-transport.example', null, 'Managing Director', '2025-03-24 10:09:00+00', '2025-04-04 11:09:00+00'),
    ('P-3013', 'C-1011', 'Mikko', 'Virtanen', 'mikko.virtanen@auroratextil.example', '+358 70 2311737', 'Accounts Payable', '2025-04-30 10:10:00+00', '2024-03-07 11:10:00+00'),
    ('P-3014', 'C-1012', 'Nina', 'Frei', 'nina.frei@steiner-praezision.example', '+41 43 2319454', 'Head of Purchasing', '2024-04-02 10:11:00+00', '2024-04-13 11:11:00+00'),
    ('P-3015', 'C-1013', 'Aoife', 'Murphy', 'aoife.murphy@greenfielddairy.example', null, 'Finance Director', '2024-05-09 10:12:00+00', '2024-05-20 11:12:00+00'),
    ('P-3016', 'C-1013', 'Petr', 'Lowe', 'petr.lowe@greenfielddairy.example', null, 'Managing Director', '2024-05-09 10:12:00+00', '2024-05-20 11:12:00+00'),
    ('P-3017', 'C-1014', 'Ingrid', 'Haugen', 'ingrid.haugen@fjordkraft-energi.example', '+47 69 2334888', 'Office Manager', '2024-06-15 10:13:00+00', '2024-06-26 11:13:00+00'),
    ('P-3018', 'C-1015', 'Erik', 'Johansson', 'erik.johansson@lindqvistsoner.example', '+46 42 2342605', 'Managing Director', '2024-07-22 10:14:00+00', '2024-08-02 11:14:00+00'),
    ('P-3019', 'C-1015', 'Sandrine', 'Favre', 'sandrine.favre@lindqvistsoner.example', null, 'Head of Purchasing', '2024-07-22 10:14:00+00', '2024-08-02 11:14:00+00'),
    ('P-3020', 'C-1016', 'Katharina', 'Gruber', 'katharina.gruber@alpenblick-hotels.example', null, 'Accounts Payable', '2024-08-28 10:15:00+00', '2024-09-08 11:15:00+00'),
    ('P-3021', 'C-1017', 'Daniel', 'Brooks', 'daniel.brooks@pacificcrest.example', '+1 68 2358039', 'Head of Purchasing', '2024-10-04 10:16:00+00', '2024-10-15 11:16:00+00'),
    ('P-3022', 'C-1018', 'Beatriz', 'Sousa', 'beatriz.sousa@quintadovale.example', '+351 41 2365756', 'Finance Director', '2024-11-10 10:17:00+00', '2024-11-21 11:17:00+00'),
    ('P-3023', 'C-1019', 'Nikos', 'Pappas', 'nikos.pappas@hellasmarine.example', null, 'Office Manager', '2024-12-17 10:18:00+00', '2024-12-28 11:18:00+00'),
    ('P-3024', 'C-1019', 'Femke', 'Grant', 'femke.grant@hellasmarine.example', null, 'Accounts Payable', '2024-12-17 10:18:00+00', '2024-12-28 11:18:00+00'),
    ('P-3025', 'C-1020', 'Mette', 'Nielsen', 'mette.nielsen@danskvind.example', '+45 67 2381190', 'Managing Director', '2025-01-23 10:19:00+00', '2025-02-03 11:19:00+00'),
    ('P-3026', 'C-1021', 'Ulrich', 'Brandt', 'ulrich.brandt@ostermann-labor.example', '+49 40 2388907', 'Accounts Payable', '2025-03-01 10:20:00+00', '2025-03-12 11:20:00+00'),
    ('P-3027', 'C-1021', 'Wesley', 'Dahl', 'wesley.dahl@ostermann-labor.example', null, 'Finance Director', '2025-03-01 10:20:00+00', '2025-03-12 11:20:00+00'),
    ('P-3028', 'C-1022', 'Harriet', 'Cole', 'harriet.cole@whitcombejoinery.example', null, 'Head of Purchasing', '2025-04-07 10:21:00+00', '2025-04-18 11:21:00+00'),
    ('P-3029', 'C-1023', 'Camille', 'Lefèvre', 'camille.lefevre@boulangerie-mercier.example', '+33 66 2404341', 'Finance Director', '2024-03-10 10:22:00+00', '2024-03-21 11:22:00+00'),
    ('P-3030', 'C-1024', 'Joost', 'Bakker', 'joost.bakker@rijnstroom.example', '+31 39 2412058', 'Office Manager', '2024-04-16 10:23:00+00', '2024-04-27 11:23:00+00'),
    ('P-3031', 'C-1025', 'Matteo', 'Moretti', 'matteo.moretti@ferretti-ceramiche.example', null, 'Managing Director', '2024-05-23 10:24:00+00', '2024-06-03 11:24:00+00'),
    ('P-3032', 'C-1025', 'Imogen', 'Marsh', 'imogen.marsh@ferretti-ceramiche.example', null, 'Head of Purchasing', '2024-05-23 10:24:00+00', '2024-06-03 11:24:00+00'),
    ('P-3033', 'C-1026', 'Lucía', 'Navarro', 'lucia.navarro@iberiasolar.example', '+34 65 2427492', 'Accounts Payable', '2024-06-29 10:25:00+00', '2024-07-10 11:25:00+00'),
    ('P-3034', 'C-1027', 'Rachel', 'Coleman', 'rachel.coleman@blueridgeanalytics.example', '+1 38 2435209', 'Head of Purchasing', '2024-08-05 10:26:00+00', '2024-08-16 11:26:00+00'),
    ('P-3035', 'C-1027', 'Hélène', 'Møller', 'helene.moller@blueridgeanalytics.example', null, 'Office Manager', '2024-08-05 10:26:00+00', '2024-08-16 11:26:00+00'),
    ('P-3036', 'C-1028', 'Florian', 'Bauer', 'florian.bauer@kastner-druck.example', null, 'Finance Director', '2024-09-11 10:27:00+00', '2024-09-22 11:27:00+00'),
    ('P-3037', 'C-1029', 'Rasa', 'Petrauskas', 'rasa.petrauskas@baltictimber.example', '+370 64 2450643', 'Office Manager', '2024-10-18 10:28:00+00', '2024-10-29 11:28:00+00'),
    ('P-3038', 'C-1029', 'Niamh', 'Molina', 'niamh.molina@baltictimber.example', null, 'Accounts Payable', '2024-10-18 10:28:00+00', '2024-10-29 11:28:00+00'),
    ('P-3039', 'C-1030', 'Petr', 'Svoboda', 'petr.svoboda@moravskesklo.example', '+420 37 2458360', 'Managing Director', '2024-11-24 10:29:00+00', '2024-12-05 11:29:00+00'),
    ('P-3040', 'C-1031', 'Oliver', 'Hughes', 'oliver.hughes@tvrobotics.example', null, 'Accounts Payable', '2024-12-31 10:30:00+00', '2025-01-11 11:30:00+00'),
    ('P-3041', 'C-1031', 'Fiona', 'Leroy', 'fiona.leroy@tvrobotics.example', null, 'Finance Director', '2024-12-31 10:30:00+00', '2025-01-11 11:30:00+00'),
    ('P-3042', 'C-1032', 'Sandrine', 'Girard', 'sandrine.girard@rousseau-instruments.example', '+33 63 2473794', 'Head of Purchasing', '2025-02-06 10:31:00+00', '2025-02-17 11:31:00+00'),
    ('P-3043', 'C-1033', 'Birgit', 'Krause', 'birgit.krause@schmidt-toechter.example', '+49 36 2481511', 'Finance Director', '2025-03-15 10:32:00+00', '2025-03-26 11:32:00+00'),
    ('P-3044', 'C-1033', 'Solveig', 'Smit', 'solveig.smit@schmidt-toechter.example', null, 'Managing Director', '2025-03-15 10:32:00+00', '2025-03-26 11:32:00+00'),
    ('P-3045', 'C-1034', 'Gareth', 'Price', 'gareth.price@meridianfreight.example', null, 'Office Manager', '2025-04-21 10:33:00+00', '2025-05-02 11:33:00+00'),
    ('P-3046', 'C-1035', 'Carmen', 'Ortega', 'carmen.ortega@olivares-hermanos.example', '+34 62 2496945', 'Managing Director', '2024-03-24 10:34:00+00', '2024-04-04 11:34:00+00'),
    ('P-3047', 'C-1036', 'Femke', 'Visser', 'femke.visser@zuiderparkclinics.example', '+31 35 2504662', 'Accounts Payable', '2024-04-30 10:35:00+00', '2024-05-11 11:35:00+00'),
    ('P-3048', 'C-1037', 'Chiara', 'Galli', 'chiara.galli@lombardi-automazione.example', null, 'Head of Purchasing', '2024-06-06 10:36:00+00', '2024-06-17 11:36:00+00'),
    ('P-3049', 'C-1037', 'Zoe', 'Becker', 'zoe.becker@lombardi-automazione.example', null, 'Office Manager', '2024-06-06 10:36:00+00', '2024-06-17 11:36:00+00'),
    ('P-3050', 'C-1038', 'Wesley', 'Hayes', 'wesley.hayes@prairiewind.example', '+1 61 2520096', 'Finance Director', '2024-07-13 10:37:00+00', '2024-07-24 11:37:00+00'),
    ('P-3051', 'C-1039', 'Tomasz', 'Kamiński', 'tomasz.kaminski@nowakmeble.example', '+48 34 2527813', 'Office Manager', '2024-08-19 10:38:00+00', '2024-08-30 11:38:00+00'),
    ('P-3052', 'C-1039', 'Søren', 'Petersen', 'soren.petersen@nowakmeble.example', null, 'Accounts Payable', '2024-08-19 10:38:00+00', '2024-08-30 11:38:00+00'),
    ('P-3053', 'C-1040', 'Maja', 'Berg', 'maja.berg@skanelivs.example', null, 'Managing Director', '2024-09-25 10:39:00+00', '2024-10-06 11:39:00+00'),
    ('P-3054', 'C-1041', 'Ville', 'Korhonen', 'ville.korhonen@saimaapaper.example', '+358 60 2543247', 'Accounts Payable', '2024-11-01 10:40:00+00', '2024-11-12 11:40:00+00'),
    ('P-3055', 'C-1041', 'Álvaro', 'Jansen', 'alvaro.jansen@saimaapaper.example', null, 'Finance Director', '2024-11-01 10:40:00+00', '2024-11-12 11:40:00+00'),
    ('P-3056', 'C-1042', 'Imogen', 'Lowe', 'imogen.lowe@brightwater.example', '+44 33 2550964', 'Head of Purchasing', '2024-12-08 10:41:00+00', '2024-12-19 11:41:00+00'),
    ('P-3057', 'C-1043', 'Ralf', 'Schubert', 'ralf.schubert@keller-optik.example', null, 'Finance Director', '2025-01-14 10:42:00+00', '2025-01-25 11:42:00+00'),
    ('P-3058', 'C-1043', 'Juliette', 'Thompson', 'juliette.thompson@keller-optik.example', null, 'Managing Director', '2025-01-14 10:42:00+00', '2025-01-25 11:42:00+00'),
    ('P-3059', 'C-1044', 'Hélène', 'Favre', 'helene.favre@geneve-horlogerie.example', '+41 59 2566398', 'Office Manager', '2025-02-20 10:43:00+00', '2025-03-03 11:43:00+00'),
    ('P-3060', 'C-1045', 'Gábor', 'Nagy', 'gabor.nagy@danubesoftware.example', '+36 32 2574115', 'Managing Director', '2025-03-29 10:44:00+00', '2025-04-09 11:44:00+00'),
    ('P-3061', 'C-1046', 'Niamh', 'Byrne', 'niamh.byrne@clonakiltyfoods.example', null, 'Accounts Payable', '2024-03-01 10:45:00+00', '2024-03-12 11:45:00+00'),
    ('P-3062', 'C-1047', 'Étienne', 'Roux', 'etienne.roux@azuryachting.example', '+33 58 2589549', 'Head of Purchasing', '2024-04-07 10:46:00+00', '2024-04-18 11:46:00+00'),
    ('P-3063', 'C-1047', 'Íñigo', 'Frei', 'inigo.frei@azuryachting.example', null, 'Office Manager', '2024-04-07 10:46:00+00', '2024-04-18 11:46:00+00'),
    ('P-3064', 'C-1048', 'Fiona', 'Grant', 'fiona.grant@portlandstone.example', '+44 31 2597266', 'Finance Director', '2024-05-14 10:47:00+00', '2024-05-25 11:47:00+00'),
    ('P-3065', 'C-1049', 'Dirk', 'Lorenz', 'dirk.lorenz@vogel-elektronik.example', null, 'Office Manager', '2024-06-20 10:48:00+00', '2024-07-01 11:48:00+00'),
    ('P-3066', 'C-1049', 'Jonas', 'Haugen', 'jonas.haugen@vogel-elektronik.example', null, 'Accounts Payable', '2024-06-20 10:48:00+00', '2024-07-01 11:48:00+00'),
    ('P-3067', 'C-1050', 'Solveig', 'Dahl', 'solveig.dahl@trondheimseafood.example', '+47 57 2612700', 'Managing Director', '2024-07-27 10:49:00+00', '2024-08-07 11:49:00+00'),
    ('P-3068', 'C-1051', 'Caleb', 'Reed', 'caleb.reed@cascadecoffee.example', '+1 30 2620417', 'Accounts Payable', '2024-09-02 10:50:00+00', '2024-09-13 11:50:00+00'),
    ('P-3069', 'C-1052', 'Manon', 'Claes', 'manon.claes@bruxelles-editions.example', null, 'Head of Purchasing', '2024-10-09 10:51:00+00', '2024-10-20 11:51:00+00'),
    ('P-3070', 'C-1053', 'Ivan', 'Horvat', 'ivan.horvat@adriaticshiprepair.example', '+385 56 2635851', 'Finance Director', '2024-11-15 10:52:00+00', '2024-11-26 11:52:00+00'),
    ('P-3071', 'C-1053', 'Pieter', 'Sousa', 'pieter.sousa@adriaticshiprepair.example', null, 'Managing Director', '2024-11-15 10:52:00+00', '2024-11-26 11:52:00+00'),
    ('P-3072', 'C-1054', 'Zoe', 'Marsh', 'zoe.marsh@mayfieldarchitects.example', '+44 29 2643568', 'Office Manager', '2024-12-22 10:53:00+00', '2025-01-02 11:53:00+00'),
    ('P-3073', 'C-1055', 'Paolo', 'Conti', 'paolo.conti@rivatessuti.example', null, 'Managing Director', '2025-01-28 10:54:00+00', '2025-02-08 11:54:00+00'),
    ('P-3074', 'C-1056', 'Søren', 'Møller', 'soren.moller@hansenkol.example', '+45 55 2659002', 'Accounts Payable', '2025-03-06 10:55:00+00', '2025-03-17 11:55:00+00'),
    ('P-3075', 'C-1057', 'Heike', 'Vogt', 'heike.vogt@weber-verlag.example', '+49 28 2666719', 'Head of Purchasing', '2025-04-12 10:56:00+00', '2025-04-23 11:56:00+00'),
    ('P-3076', 'C-1058', 'Álvaro', 'Molina', 'alvaro.molina@sierranevadaagro.example', null, 'Finance Director', '2024-03-15 10:57:00+00', '2024-03-26 11:57:00+00'),
    ('P-3077', 'C-1059', 'Megan', 'Foster', 'megan.foster@greatplainstooling.example', '+1 54 2682153', 'Office Manager', '2024-04-21 10:58:00+00', '2024-05-02 11:58:00+00'),
    ('P-3078', 'C-1059', 'Nina', 'Bakker', 'nina.bakker@greatplainstooling.example', null, 'Accounts Payable', '2024-04-21 10:58:00+00', '2024-05-02 11:58:00+00'),
    ('P-3079', 'C-1060', 'Juliette', 'Leroy', 'juliette.leroy@tulipe-cosmetiques.example', '+33 27 2689870', 'Managing Director', '2024-05-28 10:59:00+00', '2024-06-08 11:59:00+00'),
    ('P-3080', 'C-1061', 'Stephen', 'Barker', 'stephen.barker@orchardlane.example', null, 'Accounts Payable', '2024-07-04 10:00:00+00', '2024-07-15 11:00:00+00');

insert into opportunity
    (id, account_id, name, stage, product_sku, quantity, unit_price, currency, close_date, subscription_status, created_at, updated_at)
values
    ('O-5001', 'C-1001', 'mueller-maschinenbau: FW-SEAT-Y x 20', 'Closed Won', 'FW-SEAT-Y', 20, 290.00, 'EUR', '2024-06-08', 'active', '2024-05-17 09:00:00+00', '2024-06-08 16:00:00+00'),
    ('O-5003', 'C-1003', 'atelier-dubreuil: FW-EDGE x 3', 'Closed Won', 'FW-EDGE', 3, 1250.00, 'EUR', '2024-08-21', 'active', '2024-07-30 09:00:00+00', '2024-08-21 16:00:00+00'),
    ('O-5005', 'C-1005', 'costabrava-conservas: FW-SEAT-Y x 5', 'Proposal', 'FW-SEAT-Y', 5, 290.00, 'EUR', '2024-11-03', null, '2024-10-12 09:00:00+00', '2024-11-03 16:00:00+00'),
    ('O-5007', 'C-1007', 'officineberti: FW-CORE x 1', 'Closed Won', 'FW-CORE', 1, 4800.00, 'EUR', '2025-01-16', 'active', '2024-12-25 09:00:00+00', '2025-01-16 16:00:00+00'),
    ('O-5009', 'C-1009', 'delinde: FW-SEAT-Y x 5', 'Closed Won', 'FW-SEAT-Y', 5, 290.00, 'EUR', '2025-03-31', 'active', '2025-03-09 09:00:00+00', '2025-03-31 16:00:00+00'),
    ('O-5011', 'C-1011', 'auroratextil: FW-EDGE x 2', 'Qualification', 'FW-EDGE', 2, 1250.00, 'EUR', '2024-04-09', null, '2024-03-18 09:00:00+00', '2024-04-09 16:00:00+00'),
    ('O-5013', 'C-1013', 'greenfielddairy: FW-SEAT-Y x 20', 'Closed Won', 'FW-SEAT-Y', 20, 290.00, 'EUR', '2024-06-22', 'active', '2024-05-31 09:00:00+00', '2024-06-22 16:00:00+00'),
    ('O-5015', 'C-1015', 'lindqvistsoner: FW-EDGE x 3', 'Closed Won', 'FW-EDGE', 3, 1250.00, 'EUR', '2024-09-04', 'active', '2024-08-13 09:00:00+00', '2024-09-04 16:00:00+00'),
    ('O-5017', 'C-1017', 'pacificcrest: FW-SEAT-Y x 5', 'Proposal', 'FW-SEAT-Y', 5, 290.00, 'USD', '2024-11-17', null, '2024-10-26 09:00:00+00', '2024-11-17 16:00:00+00'),
    ('O-5019', 'C-1019', 'hellasmarine: FW-CORE x 1', 'Closed Won', 'FW-CORE', 1, 4800.00, 'EUR', '2025-01-30', 'active', '2025-01-08 09:00:00+00', '2025-01-30 16:00:00+00'),
    ('O-5021', 'C-1021', 'ostermann-labor: FW-SEAT-Y x 20', 'Closed Won', 'FW-SEAT-Y', 20, 290.00, 'EUR', '2025-04-14', 'active', '2025-03-23 09:00:00+00', '2025-04-14 16:00:00+00'),
    ('O-5023', 'C-1023', 'boulangerie-mercier: FW-EDGE x 2', 'Qualification', 'FW-EDGE', 2, 1250.00, 'EUR', '2024-04-23', null, '2024-04-01 09:00:00+00', '2024-04-23 16:00:00+00'),
    ('O-5025', 'C-1025', 'ferretti-ceramiche: FW-SEAT-Y x 20', 'Closed Won', 'FW-SEAT-Y', 20, 290.00, 'EUR', '2024-07-06', 'active', '2024-06-14 09:00:00+00', '2024-07-06 16:00:00+00'),
    ('O-5027', 'C-1027', 'blueridgeanalytics: FW-EDGE x 3', 'Closed Won', 'FW-EDGE', 3, 1250.00, 'USD', '2024-09-18', 'active', '2024-08-27 09:00:00+00', '2024-09-18 16:00:00+00'),
    ('O-5029', 'C-1029', 'baltictimber: FW-SEAT-Y x 20', 'Proposal', 'FW-SEAT-Y', 20, 290.00, 'EUR', '2024-12-01', null, '2024-11-09 09:00:00+00', '2024-12-01 16:00:00+00'),
    ('O-5031', 'C-1031', 'tvrobotics: FW-CORE x 1', 'Closed Won', 'FW-CORE', 1, 4800.00, 'GBP', '2025-02-13', 'active', '2025-01-22 09:00:00+00', '2025-02-13 16:00:00+00'),
    ('O-5033', 'C-1033', 'schmidt-toechter: FW-SEAT-Y x 20', 'Closed Won', 'FW-SEAT-Y', 20, 290.00, 'EUR', '2025-04-28', 'active', '2025-04-06 09:00:00+00', '2025-04-28 16:00:00+00'),
    ('O-5035', 'C-1035', 'olivares-hermanos: FW-EDGE x 2', 'Qualification', 'FW-EDGE', 2, 1250.00, 'EUR', '2024-05-07', null, '2024-04-15 09:00:00+00', '2024-05-07 16:00:00+00'),
    ('O-5037', 'C-1037', 'lombardi-automazione: FW-SEAT-Y x 120', 'Closed Won', 'FW-SEAT-Y', 120, 290.00, 'EUR', '2024-07-20', 'active', '2024-06-28 09:00:00+00', '2024-07-20 16:00:00+00'),
    ('O-5039', 'C-1039', 'nowakmeble: FW-EDGE x 3', 'Closed Won', 'FW-EDGE', 3, 1250.00, 'EUR', '2024-10-02', 'active', '2024-09-10 09:00:00+00', '2024-10-02 16:00:00+00'),
    ('O-5041', 'C-1041', 'saimaapaper: FW-SEAT-Y x 120', 'Proposal', 'FW-SEAT-Y', 120, 290.00, 'EUR', '2024-12-15', null, '2024-11-23 09:00:00+00', '2024-12-15 16:00:00+00'),
    ('O-5043', 'C-1043', 'keller-optik: FW-CORE x 1', 'Closed Won', 'FW-CORE', 1, 4800.00, 'EUR', '2025-02-27', 'active', '2025-02-05 09:00:00+00', '2025-02-27 16:00:00+00'),
    ('O-5045', 'C-1045', 'danubesoftware: FW-SEAT-Y x 5', 'Closed Won', 'FW-SEAT-Y', 5, 290.00, 'EUR', '2024-03-08', 'active', '2025-04-20 09:00:00+00', '2024-03-08 16:00:00+00'),
    ('O-5047', 'C-1047', 'azuryachting: FW-EDGE x 2', 'Qualification', 'FW-EDGE', 2, 1250.00, 'EUR', '2024-05-21', null, '2024-04-29 09:00:00+00', '2024-05-21 16:00:00+00'),
    ('O-5049', 'C-1049', 'vogel-elektronik: FW-SEAT-Y x 20', 'Closed Won', 'FW-SEAT-Y', 20, 290.00, 'EUR', '2024-08-03', 'active', '2024-07-12 09:00:00+00', '2024-08-03 16:00:00+00'),
    ('O-5051', 'C-1051', 'cascadecoffee: FW-EDGE x 3', 'Closed Won', 'FW-EDGE', 3, 1250.00, 'USD', '2024-10-16', 'active', '2024-09-24 09:00:00+00', '2024-10-16 16:00:00+00'),
    ('O-5053', 'C-1053', 'adriaticshiprepair: FW-SEAT-Y x 20', 'Proposal', 'FW-SEAT-Y', 20, 290.00, 'EUR', '2024-12-29', null, '2024-12-07 09:00:00+00', '2024-12-29 16:00:00+00'),
    ('O-5055', 'C-1055', 'rivatessuti: FW-CORE x 1', 'Closed Won', 'FW-CORE', 1, 4800.00, 'EUR', '2025-03-13', 'active', '2025-02-19 09:00:00+00', '2025-03-13 16:00:00+00'),
    ('O-5056', 'C-1056', 'hansenkol: FW-EDGE x 2', 'Closed Lost', 'FW-EDGE', 2, 1250.00, 'EUR', '2025-04-19', null, '2025-03-28 09:00:00+00', '2025-04-19 16:00:00+00'),
    ('O-5057', 'C-1057', 'weber-verlag: FW-SEAT-Y x 5', 'Proposal', 'FW-SEAT-Y', 5, 290.00, 'EUR', '2024-03-22', null, '2025-05-04 09:00:00+00', '2024-03-22 16:00:00+00'),
    ('O-5058', 'C-1058', 'sierranevadaagro: FW-CORE x 1', 'Negotiation', 'FW-CORE', 1, 4800.00, 'EUR', '2024-04-28', null, '2024-04-06 09:00:00+00', '2024-04-28 16:00:00+00'),
    ('O-5059', 'C-1059', 'greatplainstooling: FW-EDGE x 2', 'Qualification', 'FW-EDGE', 2, 1250.00, 'USD', '2024-06-04', null, '2024-05-13 09:00:00+00', '2024-06-04 16:00:00+00'),
    ('O-5060', 'C-1060', 'tulipe-cosmetiques: FW-EDGE x 3', 'Closed Lost', 'FW-EDGE', 3, 1250.00, 'EUR', '2024-07-11', null, '2024-06-19 09:00:00+00', '2024-07-11 16:00:00+00'),
    ('O-5061', 'C-1061', 'orchardlane: FW-SEAT-Y x 5', 'Proposal', 'FW-SEAT-Y', 5, 290.00, 'GBP', '2024-08-17', null, '2024-07-26 09:00:00+00', '2024-08-17 16:00:00+00');

-- What the product numbers next.
select setval('account_number', 1100), setval('contact_number', 3500), setval('opportunity_number', 5100);

"""The catalogue of the shop, so that there is something to order."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

items = sa.table(
    "items",
    sa.column("sku", sa.String),
    sa.column("name", sa.String),
    sa.column("price", sa.Integer),
    sa.column("currency", sa.String),
    sa.column("stock", sa.Integer),
)

PLENTY = 1_000_000
CATALOGUE = [
    ("TEA-ASSAM", "Assam, second flush, 100 g", 890, PLENTY),
    ("TEA-DARJEELING", "Darjeeling, first flush, 100 g", 1490, PLENTY),
    ("TEA-GENMAICHA", "Genmaicha with roasted rice, 100 g", 990, PLENTY),
    ("TEA-GYOKURO", "Gyokuro, shaded, 50 g", 2490, PLENTY),
    ("TEA-KEEMUN", "Keemun, 100 g", 1190, PLENTY),
    ("TEA-LAPSANG", "Lapsang Souchong, smoked, 100 g", 1090, PLENTY),
    ("TEA-OOLONG", "Oolong, high mountain, 100 g", 1890, PLENTY),
    ("TEA-ROOIBOS", "Rooibos, 250 g", 790, PLENTY),
    ("TEA-SENCHA", "Sencha, 100 g", 1290, PLENTY),
    ("POT-GLASS", "Teapot, glass, 0.8 l", 3490, PLENTY),
    ("POT-KYUSU", "Kyusu, Tokoname clay, 0.3 l", 5900, PLENTY),
    ("CUP-PORCELAIN", "Cup, porcelain", 1250, PLENTY),
    # Few, so that an order can find it sold out.
    ("CUP-RAKU", "Cup, raku, one of five", 12900, 5),
]


def upgrade() -> None:
    """Put the items in; those that are there already stay as they are."""
    connection = op.get_bind()
    known = set(connection.scalars(sa.select(items.c.sku)))
    rows = [
        {"sku": sku, "name": name, "price": price, "currency": "EUR", "stock": stock}
        for sku, name, price, stock in CATALOGUE
        if sku not in known
    ]
    if rows:
        connection.execute(items.insert(), rows)


def downgrade() -> None:
    """Leave the items: reservations may refer to them."""

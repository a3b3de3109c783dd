"""Write every dashboard's JSON: `python -m grafana.dashboards`."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana.dashboards import logs, orders, pipeline, resources, services

FOLDER = Path(__file__).parent
DASHBOARDS = [module.dashboard() for module in (orders, services, resources, logs, pipeline)]


def rendered() -> dict[Path, str]:
    """Return the path of each file -> its content."""
    return {
        FOLDER / f"{dashboard.uid}.json": json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for dashboard in DASHBOARDS
    }


if __name__ == "__main__":
    for path, text in rendered().items():
        path.write_text(text)

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "statement",
    [
        "import energybench.meters",
        "import energybench.app.measure",
        "import energybench; energybench.measure; energybench.discover_meters",
        "import energybench.meters as m; [m.discover_meters() for _ in 'ab']; sys.modules.pop('pynvml', None)",
    ],
)
def test_the_metering_path_is_light(statement):
    code = (
        f"import sys\n{statement}\n"
        "heavy = {'torch', 'pandas', 'numpy', 'scipy', 'pynvml', 'plotly', 'typer'} & set(sys.modules)\n"
        "sys.exit(str(sorted(heavy)) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

"""One self-contained HTML page that shows a run. Reads what the other analysis layers wrote; computes no new truth."""

from energybench.report.data import ReportData
from energybench.report.page import build_report, save_report

__all__ = ["ReportData", "build_report", "save_report"]

"""
Locust's fastest client, posting one body over and over: ``locust -f locust_post.py --body JSON``.

With ``--pace N`` each user sends N requests a second, by its own clock; without it, one after the other.
"""

from __future__ import annotations

from locust import FastHttpUser, constant_throughput, events, task


@events.init_command_line_parser.add_listener
def add_options(parser) -> None:
    parser.add_argument("--body", default="{}")
    parser.add_argument("--pace", type=float, default=0.0)


@events.init.add_listener
def pace(environment, **_) -> None:
    per_s = environment.parsed_options.pace
    if per_s:
        Caller.wait_time = constant_throughput(per_s)


class Caller(FastHttpUser):
    """Has a connection of its own."""

    def on_start(self) -> None:
        self._body = self.environment.parsed_options.body

    @task
    def post(self) -> None:
        self.client.post("/", data=self._body, headers={"Content-Type": "application/json"})

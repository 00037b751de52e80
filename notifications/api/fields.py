"""Serializer fields of the contract's types."""

from __future__ import annotations

import datetime as dt
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from realtime.codes import ProtocolError
from realtime.protocol import whole_seconds


@extend_schema_field(OpenApiTypes.ANY)
class AnyJsonField(serializers.JSONField):
    """Any JSON value, null included."""


@extend_schema_field(OpenApiTypes.STR)
class TimeField(serializers.DateTimeField):
    """A time as ISO 8601 or as Unix seconds."""

    def to_internal_value(self, value: Any) -> dt.datetime:
        """Read either form."""
        try:
            return dt.datetime.fromtimestamp(whole_seconds(float(value)), dt.UTC)
        except (ProtocolError, OverflowError):
            self.fail("invalid", format="ISO 8601, Unix seconds")
        except (TypeError, ValueError):
            return super().to_internal_value(value)

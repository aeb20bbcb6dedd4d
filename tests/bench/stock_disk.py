# SPDX-License-Identifier: Apache-2.0
"""A disk for the stock exporter, to be measured beside ours: its own procedure for media, without its wait afterwards."""

from dataclasses import dataclass

from jumpstarter.common.storage import read_from_storage_device, write_to_storage_device
from jumpstarter.driver import Driver, export
from jumpstarter_driver_opendal.driver import FlasherInterface


@dataclass(kw_only=True)
class Disk(FlasherInterface, Driver):
    storage_device: str

    @export
    async def flash(self, source, target: str | None = None):
        async with self.resource(source) as stream:
            await write_to_storage_device(self.storage_device, stream, leeway=0, logger=self.logger)

    @export
    async def dump(self, target, partition: str | None = None):
        async with self.resource(target) as stream:
            await read_from_storage_device(self.storage_device, stream, logger=self.logger)

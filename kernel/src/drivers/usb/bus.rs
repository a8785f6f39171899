//! All that is plugged in at one controller, directly or through hubs, as it comes and goes.

use alloc::vec::Vec;

use screen::Keys;
use usb::descriptor::{Function, Kind};
use usb::{Route, Speed};

use super::device::{self, Device, Role};
use super::hub::{DEBOUNCE_MS, Hub};
use super::keyboard::Keyboard;
use super::xhci::{Controller, Error, News, Place, SlotId};
use crate::drivers::pci;

/// How often a device is reset and asked again that does not answer as it should.
const ATTEMPTS: usize = 3;

/// The devices at one controller.
pub(super) struct Bus {
    /// The controller, by the name that PCI has for it.
    name: pci::Function,
    controller: Controller,
    /// Keyboards and hubs, each behind the hub through which it is reached.
    devices: Vec<Device>,
}

/// Where something can be plugged in.
#[derive(Clone, Copy)]
enum Port {
    /// At the controller.
    Root(u8),
    /// At the hub in a slot, which is itself at a place.
    Hub(Hub, SlotId, Place, u8),
}

impl Port {
    /// Return the way to what is plugged in there.
    fn route(self) -> Option<Route> {
        match self {
            Self::Root(port) => Some(Route::root(port)),
            Self::Hub(_, _, hub, port) => hub.route.through(port),
        }
    }

    /// Return who translates for a device of this speed.
    fn translator(self, speed: Speed) -> Option<(SlotId, u8)> {
        match self {
            Self::Hub(_, slot, hub, port) if speed != Speed::High => {
                if hub.speed == Speed::High {
                    Some((slot, port))
                } else {
                    hub.translator
                }
            }
            _ => None,
        }
    }

    /// Return whether something is plugged in there.
    fn is_connected(self, controller: &mut Controller) -> Result<bool, Error> {
        match self {
            Self::Root(port) => Ok(controller.is_connected(port)),
            Self::Hub(hub, .., port) => Ok(hub.status(controller, port)?.connected()),
        }
    }

    /// Reset what is plugged in there, and return how fast it talks.
    fn reset(self, controller: &mut Controller) -> Result<Speed, Error> {
        match self {
            Self::Root(port) => controller.reset(port),
            Self::Hub(hub, .., port) => hub.reset(controller, port),
        }
    }
}

impl Bus {
    /// Return the bus of a controller that has just been started, with what is plugged in.
    pub(super) fn open(name: pci::Function, controller: Controller) -> Self {
        let mut bus = Self { name, controller, devices: Vec::new() };
        let ports: Vec<u8> = bus.controller.ports().collect();
        for &port in &ports {
            // What has come up to now is found here, and need not be told.
            bus.controller.connection_changed(port);
            bus.attach(Port::Root(port));
        }
        log::info!("usb {name}: {} ports, {} keyboards and hubs", ports.len(), bus.devices.len());
        bus
    }

    /// See what has happened.
    pub(super) fn poll(&mut self, keys: &mut Keys) {
        while let Some(news) = self.controller.news() {
            match news {
                News::Port(port) => {
                    if self.controller.connection_changed(port) {
                        self.change(Port::Root(port), keys);
                    }
                }
                News::Report(slot, report) => self.report(slot, &report, keys),
            }
        }
        for device in &mut self.devices {
            if let Role::Keyboard(keyboard) = &mut device.role {
                keyboard.tend(&mut self.controller, keys);
            }
        }
    }

    /// Take in what a device has reported.
    fn report(&mut self, slot: SlotId, report: &[u8], keys: &mut Keys) {
        let Some(device) = self.devices.iter_mut().find(|device| device.slot == slot) else { return };
        match &mut device.role {
            Role::Keyboard(keyboard) => keyboard.report(report, &self.controller.clock(), keys),
            &mut Role::Hub(hub) => {
                let place = device.place;
                for port in hub.changed_ports(report) {
                    match hub.status(&mut self.controller, port) {
                        Ok(status) if status.connection_changed() => {
                            self.change(Port::Hub(hub, slot, place, port), keys);
                        }
                        Ok(_) => {}
                        // It has been pulled out, which another port will tell.
                        Err(error) => log::debug!("usb {}: hub at port {}: {error}", self.name, place.route),
                    }
                }
            }
        }
    }

    /// Something was plugged in or pulled out, or both.
    fn change(&mut self, port: Port, keys: &mut Keys) {
        let Some(route) = port.route() else { return };
        let (gone, stays) = self.devices.drain(..).partition(|device| device.is_behind(route));
        self.devices = stays;
        // What is behind a hub goes before the hub.
        for device in Vec::into_iter(gone).rev() {
            log::info!("usb {}: port {}: gone", self.name, device.place.route);
            self.controller.remove(device.slot);
            if let Role::Keyboard(keyboard) = device.role {
                keyboard.let_go(keys);
            }
        }
        self.controller.clock().pause(DEBOUNCE_MS);
        self.attach(port);
    }

    /// Use what is plugged in at a port, if it is of use.
    fn attach(&mut self, port: Port) {
        for attempt in 1..=ATTEMPTS {
            match port.is_connected(&mut self.controller) {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
            match self.try_to_attach(port) {
                Ok(None) => return,
                Ok(Some(device)) => return self.take_in(device),
                Err(error) if attempt == ATTEMPTS => {
                    let name = self.name;
                    match port.route() {
                        Some(route) => log::warn!("usb {name}: the device at port {route}: {error}"),
                        None => log::warn!("usb {name}: a device behind hubs: {error}"),
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Keep a device, and use what is plugged in there if it is a hub.
    fn take_in(&mut self, device: Device) {
        let Device { slot, place, .. } = device;
        let hub = if let Role::Hub(hub) = device.role { Some(hub) } else { None };
        self.devices.push(device);
        for (hub, port) in hub.into_iter().flat_map(|hub| hub.ports().map(move |port| (hub, port))) {
            self.attach(Port::Hub(hub, slot, place, port));
        }
    }

    /// Reset what is plugged in at a port, find out what it is, and return it if it is of use.
    fn try_to_attach(&mut self, port: Port) -> Result<Option<Device>, Error> {
        let route = port.route().ok_or(Error::TooDeep)?;
        let speed = port.reset(&mut self.controller)?;
        let place = Place { route, speed, translator: port.translator(speed) };
        let slot = self.controller.add(place)?;
        let role = self.set_up(slot, place);
        if !matches!(role, Ok(Some(_))) {
            self.controller.remove(slot);
        }
        Ok(role?.map(|role| Device { slot, place, role }))
    }

    /// Ask a device what it is, and let it be that.
    fn set_up(&mut self, slot: SlotId, place: Place) -> Result<Option<Role>, Error> {
        let (vendor, product, function) = device::identify(&mut self.controller, slot, place.speed)?;
        let what = match function {
            Some(Function { kind: Kind::Keyboard, .. }) => "keyboard",
            Some(Function { kind: Kind::Hub, .. }) => "hub",
            None => "not used",
        };
        let Place { route, speed, .. } = place;
        log::info!("usb {}: port {route}: {vendor:04x}:{product:04x}, {speed:?} speed: {what}", self.name);
        let Some(function) = function else { return Ok(None) };
        Ok(Some(match function.kind {
            Kind::Keyboard => Role::Keyboard(Keyboard::set_up(&mut self.controller, slot, &function)?),
            Kind::Hub => Role::Hub(Hub::set_up(&mut self.controller, slot, &function)?),
        }))
    }
}

// swift-format-ignore-file: AlwaysUseLowerCamelCase

import Diagnostics
import HardwareBus
import Platform
import SCSI
import Synchronization
import TestTraits
import Testing

@testable import ParallelInterface
@testable import SCSIControllerDriverKit

@Suite("What a driver publishes, and its power", .blocks)
struct RegistryTests {
    @Test("properties of the HBA and of targets are checked, set and removed")
    func properties() throws {
        let fixture = try Fixture(mode: .bundled)
        let driver = fixture.driver
        func content() -> DriverRegistry.Content { fixture.controller.registry.current }
        #expect(driver.UserSetHBAProperties([kIOPropertyVendorNameKey: "HERE"]) == kIOReturnSuccess)
        let name = OSPropertyValue.data([1, 2, 3, 4, 5, 6, 7, 8])
        #expect(driver.UserSetHBAProperties([kIOPropertySASAddressKey: name]) == kIOReturnSuccess)
        #expect(
            content().controller == [
                kIOPropertyVendorNameKey: "HERE", kIOPropertySASAddressKey: name, "SCSI Port Identifier": name,
            ])
        // A wrong type, a wrong size, a wrong name: nothing is set.
        for (key, value) in [
            (kIOPropertyVendorNameKey, 7), (kIOPropertySASAddressKey, .data([1])), ("Something", "else"),
        ] as [(String, OSPropertyValue)] {
            #expect(
                driver.UserSetHBAProperties([key: value, kIOPropertyProductNameKey: "X"]) == kIOReturnBadArgument,
                "\(key)")
        }
        #expect(content().controller.count == 3)
        #expect(driver.UserRemoveHBAProperties([.string(kIOPropertySASAddressKey)]) == kIOReturnSuccess)
        #expect(content().controller == [kIOPropertyVendorNameKey: "HERE"])
        #expect(driver.UserRemoveHBAProperties([7]) == kIOReturnBadArgument)

        #expect(driver.UserSetTargetProperties(0, [kIOPropertySASAddressKey: name]) == kIOReturnNoDevice)
        #expect(fixture.controller.createTarget(0, properties: [:]) == kIOReturnSuccess)
        #expect(driver.UserSetTargetProperties(0, [kIOPropertySASAddressKey: name]) == kIOReturnSuccess)
        #expect(content().targets[0]?[kIOPropertySASAddressKey] == name)
        #expect(driver.UserSetTargetProperties(0, [kIOPropertyVendorNameKey: "X"]) == kIOReturnBadArgument)
        #expect(driver.UserRemoveTargetProperties(0, [.string(kIOPropertySASAddressKey)]) == kIOReturnSuccess)
        #expect(content().targets[0] == [:])
        fixture.controller.stop()
        #expect(fixture.faults == [])
    }

    /// A driver with a service of its own.
    private final class Parent: EchoDriver, @unchecked Sendable {
        final class Child: IOService, @unchecked Sendable {
            let isStopped = OneShotEvent()
            override func Stop(_ provider: IOService) -> kern_return_t {
                isStopped.set()
                return super.Stop(provider)
            }
        }

        var child: IOService?

        override func NewService(_ userClass: String) -> IOService? { userClass == "Child" ? Child() : nil }
    }

    @Test("a service of the driver's own is made, registered, and stopped when it terminates")
    func service() throws {
        let fixture = try Fixture(mode: .bundled, driverClass: Parent.self)
        let driver = fixture.driver as! Parent
        driver.personality = [
            "ChildProperties": .dictionary(["IOUserClass": "Child", "A": 1]),
            "OtherProperties": .dictionary(["IOUserClass": "Other"]),
        ]
        var service: IOService?
        #expect(driver.Create(driver, "NoProperties", &service) == kIOReturnBadArgument)
        #expect(driver.Create(driver, "OtherProperties", &service) == kIOReturnUnsupported)
        #expect(driver.Create(driver, "ChildProperties", &service) == kIOReturnSuccess)
        let child = try #require(service as? Parent.Child)
        #expect(child.GetProvider() === driver)
        #expect(child.SetProperties(["B": 2]) == kIOReturnSuccess)
        #expect(child.RegisterService() == kIOReturnSuccess)
        var found: OSPropertyValue?
        #expect(child.SearchProperty("A", "IOService", 0, &found) == kIOReturnSuccess && found == 1)
        #expect(child.SearchProperty("OtherProperties", "IOService", 0, &found) == kIOReturnNotFound)
        #expect(
            child.SearchProperty("OtherProperties", "IOService", kIOServiceSearchPropertyParents, &found)
                == kIOReturnSuccess)
        var id: UInt64 = 0
        _ = child.GetRegistryEntryID(&id)
        let published = try #require(fixture.controller.registry.current.services[id])
        #expect(published.name == "Child" && published.isRegistered && published.properties == ["B": 2])
        #expect(child.Terminate(0) == kIOReturnSuccess)
        #expect(child.isStopped.comes())
        #expect(fixture.controller.registry.current.services[id] == nil)
        fixture.controller.stop()
    }

    @Test("a controller that terminates is stopped, and serves nothing afterwards")
    func terminate() throws {
        let fixture = try Fixture(mode: .bundled)
        #expect(fixture.driver.Terminate(0) == kIOReturnSuccess)
        fixture.controller.stop()
        fixture.submit([0])
        #expect(fixture.outcome(0) == [1, 4])
    }

    @Test("a change of power has to be acknowledged, at once or later", arguments: [true, false])
    func power(isAcknowledged: Bool) throws {
        final class Slow: EchoDriver, @unchecked Sendable {
            override func SetPowerState(_ powerFlags: UInt32) -> kern_return_t {
                note("SetPowerState(\(powerFlags))")
                return kIOReturnSuccess
            }
            func acknowledge() { _ = super.SetPowerState(kIOServicePowerCapabilityOn) }
        }
        let fixture = try Fixture(mode: .bundled, driverClass: Slow.self, options: { $0.slowCallMilliseconds = 100 })
        let driver = fixture.driver as! Slow
        #expect(driver.calls.contains("SetPowerState(2)"))
        #expect(fixture.controller.powerIsPending)
        fixture.clock.awaitSleepers(1)
        fixture.clock.turn(byMilliseconds: 390)
        #expect(fixture.faults == [])
        if isAcknowledged { fixture.controller.inDriver { driver.acknowledge() } }
        fixture.clock.turn(byMilliseconds: 200)
        #expect(fixture.faults == (isAcknowledged ? [] : [.powerChangeNotAcknowledged]))
        fixture.controller.stop()
    }

    @Test("a sense of a medium that goes or comes is the driver's mistake if no announcement is near")
    func media() {
        let log = DiagnosisLog { _ in }
        let watch = MediaWatch()
        let unit = UnitAddress(targetID: 0)
        let gone = SenseData(.notReady, AdditionalSenseCode(0x3A, 0x01))
        let new = SenseData(.unitAttention, AdditionalSenseCode(0x28, 0x00))
        func note(_ sense: SenseData, now: UInt64) { watch.note(sense, at: unit, due: now + 100, command: "READ(10)") }
        // During the first probe.
        note(gone, now: 0)
        watch.settle(unit, isPresent: true)
        // Announced before, and a moment after.
        watch.announced()
        note(gone, now: 10)
        watch.settle(unit, isPresent: false)
        note(gone, now: 20)
        watch.look(now: 1000, log: log)
        watch.announced()
        note(new, now: 1000)
        watch.settle(unit, isPresent: true)
        note(gone, now: 1010)
        watch.look(now: 1100, log: log)
        watch.announced()
        watch.look(now: 2000, log: log)
        #expect(log.diagnoses.map(\.summary) == [])
        watch.settle(unit, isPresent: true)
        note(SenseData(.mediumError, .unrecoveredReadError), now: 2000)
        note(new, now: 2000)
        watch.look(now: 2099, log: log)
        #expect(log.diagnoses.isEmpty)
        watch.look(now: 2100, log: log)
        #expect(log.diagnoses.map(\.fault) == [.mediaChangeNotAnnounced])
        #expect(log.diagnoses[0].detail.hasPrefix("READ(10) ended with sense 06/28/00"))
        // Once for each change.
        note(new, now: 2200)
        watch.look(now: 3000, log: log)
        #expect(log.count(of: .mediaChangeNotAnnounced) == 1)
    }
}

extension ParallelController {
    fileprivate var powerIsPending: Bool { parts.host.context.power.isPending }
    fileprivate func inDriver(_ body: () -> Void) { parts.host.context.run("a test", body) }
}

@Suite("The card on its bus", .blocks)
struct PCIDeviceTests {
    /// Registers that keep what is written, and a configuration space.
    private final class Registers: PCIFunction, @unchecked Sendable {
        var words: [UInt32] = [0x4433_2211, 0x8877_6655]
        let space = PCIConfigurationSpace(
            vendorID: 0x1234, deviceID: 0x5678, classCode: 0x01_0400, revision: 9, barByteCount: 4096)
        override var registerByteCount: Int { 8 }
        override func readRegister(_ offset: Int) -> UInt32 { offset < 8 ? words[offset / 4] : .max }
        override func writeRegister(_ offset: Int, _ value: UInt32) { if offset < 8 { words[offset / 4] = value } }
        override func readConfiguration(_ offset: Int) -> UInt32 { space.read(offset) }
        override func writeConfiguration(_ offset: Int, _ value: UInt32, mask: UInt32) {
            space.write(offset, value, mask: mask)
        }
    }

    @Test("registers of all widths are parts of registers of 32 bits")
    func widths() {
        let card = Registers(dart: DART(windowCount: 1, reservedCount: 1))
        let device = IOPCIDevice(function: card)
        var (byte, half, word, long): (UInt8, UInt16, UInt32, UInt64) = (0, 0, 0, 0)
        device.MemoryRead8(0, 6, &byte)
        device.MemoryRead16(0, 2, &half)
        device.MemoryRead32(0, 4, &word)
        device.MemoryRead64(0, 0, &long)
        #expect((byte, half, word, long) == (0x77, 0x4433, 0x8877_6655, 0x8877_6655_4433_2211))
        device.MemoryWrite8(0, 1, 0xAA)
        device.MemoryWrite16(0, 6, 0xBBCC)
        #expect(card.words == [0x4433_AA11, 0xBBCC_6655])
        device.MemoryWrite64(0, 0, 0x0102_0304_0506_0708)
        #expect(card.words == [0x0506_0708, 0x0102_0304])
        // There is no other BAR.
        device.MemoryRead32(1, 0, &word)
        #expect(word == .max)
        var (index, size, type): (UInt8, UInt64, UInt8) = (9, 0, 9)
        #expect(device.GetBARInfo(0, &index, &size, &type) == kIOReturnSuccess)
        #expect((index, size, type) == (0, 8, kPCIBARTypeM32))
        #expect(device.GetBARInfo(1, &index, &size, &type) != kIOReturnSuccess)
    }

    @Test("the configuration space has the card's numbers, and Close takes the card off the bus")
    func configuration() {
        let card = Registers(dart: DART(windowCount: 1, reservedCount: 1))
        let device = IOPCIDevice(function: card)
        let client = IOService()
        var (byte, half, word): (UInt8, UInt16, UInt32) = (0, 0, 0)
        device.ConfigurationRead16(kIOPCIConfigurationOffsetDeviceID, &half)
        device.ConfigurationRead8(kIOPCIConfigurationOffsetRevisionID, &byte)
        device.ConfigurationRead32(kIOPCIConfigurationOffsetRevisionID, &word)
        #expect((half, byte, word) == (0x5678, 9, 0x0104_0009))
        // The size of the BAR shows when all ones are written.
        device.ConfigurationWrite32(kIOPCIConfigurationOffsetBaseAddress0, .max)
        device.ConfigurationRead32(kIOPCIConfigurationOffsetBaseAddress0, &word)
        #expect(~word + 1 == 4096)
        #expect(device.Open(client) == kIOReturnSuccess)
        #expect(device.Open(IOService()) == kIOReturnExclusiveAccess)
        device.ConfigurationWrite16(kIOPCIConfigurationOffsetCommand, 0x0406)
        device.Close(client)
        device.ConfigurationRead16(kIOPCIConfigurationOffsetCommand, &half)
        #expect(half == 0x0400 && !card.space.answersInMemorySpace)
        device.ConfigurationWrite16(
            kIOPCIConfigurationOffsetCommand, kIOPCICommandMemorySpace | kIOPCICommandBusMaster)
        #expect(card.space.answersInMemorySpace)
        // A card without a configuration space.
        IOPCIDevice(function: PCIFunction(dart: card.dart)).ConfigurationRead16(0, &half)
        #expect(half == .max)
    }
}

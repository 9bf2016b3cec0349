import Foundation
import HBAProfiles
import StackModel
import Testing

@Suite("Registry tree")
struct RegistryTreeTests {
    private func tree(_ name: String, _ change: (inout HBAProfile) -> Void = { _ in }) throws -> RegistryTree {
        var profile = try HBAProfile(nameOrPath: name)
        change(&profile)
        return RegistryTree(profile: profile)
    }

    private func node(_ className: String, of tree: RegistryTree) throws -> RegistryNode {
        try #require(RegistryTree.chain(from: tree.root).first { $0.className == className })
    }

    @Test("the stack has its objects in order")
    func objects() throws {
        let classes = RegistryTree.chain(from: try tree("default").root).map(\.className)
        #expect(
            classes == [
                "IOUserSCSIParallelInterfaceController", "IOSCSIParallelInterfaceDevice", "IOSCSITargetDevice",
                "IOSCSILogicalUnitNub", "IOSCSIPeripheralDeviceType00", "IOBlockStorageServices",
                "IOBlockStorageDriver", "IOMedia",
            ])
        let root = try tree("default").root
        #expect(root.properties["IOUserClass"] == .string("RAIDDriver"))
        #expect(root.properties["IOCommandPoolSize"] == .number(256))
        #expect(root.properties["HBA Data Alignment"] == .number(.max))
        let media = try node("IOMedia", of: tree("default"))
        #expect(media.properties["Preferred Block Size"] == .number(512))
    }

    @Test("each logical unit is a disk of its own below the target")
    func logicalUnits() throws {
        let tree = RegistryTree(profile: try HBAProfile(nameOrPath: "default"), logicalUnitCount: 3)
        let units = try node("IOSCSITargetDevice", of: tree).children
        #expect(units.map(\.name) == (0..<3).map { "IOSCSILogicalUnitNub@\($0)" })
        #expect(units.map { $0.properties["SCSI Logical Unit Number"] } == (0..<3).map { .number($0) })
        for unit in units { #expect(RegistryTree.chain(from: unit).last?.className == "IOMedia") }
    }

    @Test("a block count that a DEXT tries to set is not published, and stays 65535")
    func blockCount() throws {
        let tree = try tree("dext-complete") {
            $0.constraints["IOMaximumBlockCountWrite"] = 1024
            $0.constraints["IOMaximumByteCountWrite"] = 524_288
        }
        let peripheral = try node("IOSCSIPeripheralDeviceType00", of: tree)
        #expect(peripheral.properties["IOMaximumBlockCountRead"] == .number(65535))
        #expect(peripheral.properties["IOMaximumBlockCountWrite"] == .number(65535))
        #expect(peripheral.properties["IOMaximumByteCountWrite"] == nil)
        #expect(tree.root.properties["IOMaximumBlockCountWrite"] == nil)
        #expect(tree.root.properties["IOMaximumSegmentByteCountWrite"] == .number(65536))
        #expect(
            tree.unpublished.map(\.key) == [
                "IOMaximumByteCountWrite", "IOMaximumBlockCountWrite", "DMA specification",
            ])
        #expect(tree.text.contains("\"IOMaximumBlockCountWrite\" = 65535 (0xffff)"))
    }

    @Test("a KEXT's byte limit is published as blocks too")
    func kextLimits() throws {
        let kext = try tree("kext-512k") { $0.constraints["IOMaximumBlockCountRead"] = nil }
        let peripheral = try node("IOSCSIPeripheralDeviceType00", of: kext)
        #expect(peripheral.properties["IOMaximumBlockCountRead"] == .number(1024))
        #expect(peripheral.properties["IOMaximumByteCountRead"] == .number(524_288))
        #expect(kext.root.className == "RAIDKext")
        #expect(kext.root.superclassName == "IOSCSIParallelInterfaceController")
        #expect(kext.root.properties["IOUserClass"] == nil)
    }

    @Test("IOBlockStorageDriver's own alignment appears where none was reported")
    func ownAlignment() throws {
        let key = "IOMinimumSegmentAlignmentByteCount"
        let without = try tree("default") { $0.constraints[key] = nil }
        #expect(try node("IOBlockStorageServices", of: without).properties[key] == .number(4))
        #expect(try node("IOBlockStorageServices", of: tree("default")).properties[key] == nil)
        #expect(try tree("default").root.properties[key] == .number(4))
    }

    @Test("a bar leads past an object to the next one at its level")
    func bars() throws {
        let tree = RegistryTree(profile: try HBAProfile(nameOrPath: "default"), logicalUnitCount: 2)
        let lines = tree.text.split(separator: "\n").map(Array.init)
        let first = try #require(lines.firstIndex { String($0).contains("LogicalUnitNub@0") })
        let second = try #require(lines.firstIndex { String($0).contains("LogicalUnitNub@1") })
        let column = try #require(lines[first].firstIndex(of: "+"))
        #expect(lines[second].firstIndex(of: "+") == column)
        for line in lines[first + 1..<second] { #expect(line[column] == "|", "\(String(line))") }
        let last = lines[(second + 1)...].prefix { $0.first == " " }
        for line in last { #expect(line[column] == " ", "\(String(line))") }
    }

    @Test("a tree that macOS cannot build says so")
    func obstacle() throws {
        let broken = try tree("default") { $0.constraints["HBA Data Alignment"] = nil }
        #expect(broken.text.hasPrefix("note: HBA Data Alignment is missing"))
        #expect(try tree("default").obstacle == nil)
    }

    @Test("a KEXT's tree and a DEXT's differ in the controller and the disk only")
    func diff() throws {
        let diff = try tree("kext-512k").diff(tree("dext-complete"))
        #expect(diff.nodes.count == 2)
        #expect(diff.nodes[0].properties.map(\.key).contains("IOUserClass"))
        #expect(
            diff.nodes[1].properties.map(\.key) == [
                "IOMaximumBlockCountRead", "IOMaximumBlockCountWrite", "IOMaximumByteCountRead",
                "IOMaximumByteCountWrite",
            ])
        let lines = diff.text.split(separator: "\n").map(String.init)
        #expect(lines.contains("-       \"IOMaximumBlockCountWrite\" = 1024 (0x400)"))
        #expect(lines.contains("+       \"IOMaximumBlockCountWrite\" = 65535 (0xffff)"))
        #expect(lines.contains("+       \"IOMaximumSegmentByteCountRead\" = 65536 (0x10000)"))
        #expect(!diff.text.contains("HBA Data Alignment"))
        #expect(try tree("default").diff(tree("default")).nodes.isEmpty)
    }

    @Test("JSON says the same", arguments: HBAProfile.shippedNames)
    func json(name: String) throws {
        let tree = try tree(name)
        #expect(try JSONDecoder().decode(RegistryTree.self, from: JSONEncoder().encode(tree)) == tree)
        let diff = tree.diff(try self.tree("default"))
        #expect(try JSONDecoder().decode(RegistryDiff.self, from: JSONEncoder().encode(diff)) == diff)
    }
}

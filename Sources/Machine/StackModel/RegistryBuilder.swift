import HBAProfiles
import ParallelInterface
import SCSI
import SCSIControllerDriverKit

/// Makes the objects of a stack, from the controller to the medium.
struct RegistryBuilder {
    let profile: HBAProfile
    private let traits = DiskTraits()

    init(profile: HBAProfile) { self.profile = profile }

    private var isKext: Bool { profile.driver == .kext }

    /// The controller and the target; below them a disk for each logical unit.
    func root(logicalUnitCount: Int) -> RegistryNode {
        var target = target
        target.children = (0..<logicalUnitCount).map { number in
            Self.chain([
                logicalUnit(number), peripheral, services,
                RegistryNode(
                    name: "IOBlockStorageDriver", className: "IOBlockStorageDriver",
                    properties: ["IOClass": .string("IOBlockStorageDriver")]),
                media,
            ])
        }
        return Self.chain([controller, device, target])
    }

    /// Puts each object below the one before it.
    private static func chain(_ nodes: [RegistryNode]) -> RegistryNode {
        var below: RegistryNode?
        for var node in nodes.reversed() {
            if let child = below { node.children = [child] }
            below = node
        }
        return below!
    }

    /// What the driver reports and no object publishes.
    var unpublished: [RegistryTree.Unpublished] {
        var items: [RegistryTree.Unpublished] = []
        if !isKext {
            for key in ConfigurationCheck.kextKeys {
                guard let value = profile.constraints[key] else { continue }
                items.append(
                    RegistryTree.Unpublished(
                        key: key, value: .number(value),
                        reason: "UserReportHBAConstraints does not take this key: it is ignored (B35)"))
            }
        }
        let dma = profile.dma
        items.append(
            RegistryTree.Unpublished(
                key: "DMA specification",
                value: .dictionary([
                    "maxTransferSize": .number(dma.maxTransferSize), "alignment": .number(dma.alignment),
                    "numAddressBits": .number(dma.numAddressBits), "segmentType": .string(dma.segmentType),
                ]),
                reason: "the kernel half of the controller alone knows it; the block layer cannot look it up"))
        return items
    }

    // MARK: Objects

    private var protocolCharacteristics: [String: RegistryValue] {
        [
            "Physical Interconnect": .string("SCSI"), "Physical Interconnect Location": .string("Internal/External"),
            "SCSI Domain Identifier": .number(0),
        ]
    }

    private var targetCharacteristics: RegistryValue {
        .dictionary(protocolCharacteristics.merging(["SCSI Target Identifier": .number(0)]) { $1 })
    }

    private var identification: [String: RegistryValue] {
        [
            "Vendor Identification": .string(traits.vendor), "Product Identification": .string(traits.product),
            "Product Revision Level": .string(traits.revision), "Peripheral Device Type": .number(0),
        ]
    }

    /// Holds the limits: objects below look them up here.
    private var controller: RegistryNode {
        var properties: [String: RegistryValue] = [
            "Controller Characteristics": .dictionary([:]),
            "Protocol Characteristics": .dictionary(protocolCharacteristics),
            "IOCommandPoolSize": .number(profile.maximumTaskCount),
        ]
        for (key, value) in profile.constraints where isKext || !ConfigurationCheck.kextKeys.contains(key) {
            properties[key] = .number(value)
        }
        if isKext {
            properties["IOClass"] = .string("RAIDKext")
            return RegistryNode(
                name: "RAIDKext", className: "RAIDKext", superclassName: "IOSCSIParallelInterfaceController",
                properties: properties)
        }
        properties["IOClass"] = .string("IOUserSCSIParallelInterfaceController")
        properties["IOUserClass"] = .string("RAIDDriver")
        return RegistryNode(
            name: "RAIDDriver", className: "IOUserSCSIParallelInterfaceController", properties: properties)
    }

    private var device: RegistryNode {
        RegistryNode(
            name: "IOSCSIParallelInterfaceDevice@0", className: "IOSCSIParallelInterfaceDevice",
            properties: ["SCSI Target Identifier": .number(0), "Protocol Characteristics": targetCharacteristics])
    }

    private var target: RegistryNode {
        RegistryNode(name: "IOSCSITargetDevice", className: "IOSCSITargetDevice", properties: identification)
    }

    private func logicalUnit(_ number: Int) -> RegistryNode {
        RegistryNode(
            name: "IOSCSILogicalUnitNub@\(number)", className: "IOSCSILogicalUnitNub",
            properties: identification.merging(["SCSI Logical Unit Number": .number(UInt64(number))]) { $1 })
    }

    /// Publishes the block counts: 65535 is the most that READ(10) and WRITE(10) can say. Byte limits of a KEXT appear
    /// here too, and as blocks.
    private var peripheral: RegistryNode {
        let limits = profile.hbaConstraints
        var properties: [String: RegistryValue] = ["IOClass": .string("IOSCSIPeripheralDeviceType00")]
        func publish(blocks: UInt64, _ blockKey: String, bytes: UInt64, _ byteKey: String) {
            let byteLimit = bytes / StageTransfer.blockByteCount
            properties[blockKey] = .number(bytes == 0 ? blocks : blocks == 0 ? byteLimit : min(blocks, byteLimit))
            if bytes > 0 { properties[byteKey] = .number(bytes) }
        }
        publish(
            blocks: limits.maximumBlockCountRead, kIOMaximumBlockCountReadKey, bytes: limits.maximumByteCountRead,
            kIOMaximumByteCountReadKey)
        publish(
            blocks: limits.maximumBlockCountWrite, kIOMaximumBlockCountWriteKey,
            bytes: limits.maximumByteCountWrite, kIOMaximumByteCountWriteKey)
        return RegistryNode(
            name: "IOSCSIPeripheralDeviceType00", className: "IOSCSIPeripheralDeviceType00", properties: properties)
    }

    private var services: RegistryNode {
        var properties: [String: RegistryValue] = [
            "Protocol Characteristics": targetCharacteristics,
            "Device Characteristics": .dictionary([
                "Vendor Name": .string(traits.vendor), "Product Name": .string(traits.product),
                "Product Revision Level": .string(traits.revision),
            ]),
            "IOStorageFeatures": .dictionary(["Unmap": .boolean(traits.supportsUnmap)]),
        ]
        if profile.constraints[kIOMinimumSegmentAlignmentByteCountKey] == nil {
            // IOBlockStorageDriver puts its own value here when it finds none.
            properties[kIOMinimumSegmentAlignmentByteCountKey] = .number(
                profile.hbaConstraints.minimumSegmentAlignment)
        }
        return RegistryNode(
            name: "IOBlockStorageServices", className: "IOBlockStorageServices", properties: properties)
    }

    private var media: RegistryNode {
        RegistryNode(
            name: "\(traits.vendor) \(traits.product) Media", className: "IOMedia",
            properties: [
                "Preferred Block Size": .number(UInt64(traits.blockByteCount)), "Whole": .boolean(true),
                "Writable": .boolean(!traits.isReadOnly), "Removable": .boolean(traits.isRemovable),
            ])
    }
}

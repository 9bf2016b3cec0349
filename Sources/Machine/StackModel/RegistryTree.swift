import HBAProfiles
import SCSIControllerDriverKit

/// The properties of the stack above one driver and one disk, as a developer reads them in IORegistryExplorer.
///
/// Names and places are those of IOSCSIParallelFamily-352, IOSCSIArchitectureModelFamily-139.0.2 and
/// IOStorageFamily-337.100.1. What a profile does not know (sizes, paths, statistics) is left out.
package struct RegistryTree: Codable, Equatable, Sendable {
    /// Something that the driver reports and that no object publishes.
    package struct Unpublished: Codable, Equatable, Sendable {
        /// The constraint's key, or the value's name.
        package var key: String
        /// The value that the driver reports.
        package var value: RegistryValue
        /// Why no object publishes it.
        package var reason: String
    }

    /// The profile's name.
    package var profile: String
    /// The controller; everything else hangs below it.
    package var root: RegistryNode
    /// What the driver reports and no object publishes.
    package var unpublished: [Unpublished]
    /// What keeps macOS from building this tree, or nil.
    package var obstacle: String?

    /// - Parameters:
    ///   - profile: the profile, which says what the driver reports.
    ///   - logicalUnitCount: the logical units of the target; each is a disk of its own.
    package init(profile: HBAProfile, logicalUnitCount: Int = 1) {
        self.profile = profile.name
        let builder = RegistryBuilder(profile: profile)
        root = builder.root(logicalUnitCount: logicalUnitCount)
        unpublished = builder.unpublished
        if profile.driver == .dext, profile.constraints[kIOMinimumHBADataAlignmentMaskKey] == nil {
            obstacle = "\(kIOMinimumHBADataAlignmentMaskKey) is missing: macOS panics before there is such a tree"
        }
    }

    /// The tree in the style of `ioreg -l`.
    package var text: String {
        var page = TextPage()
        if let obstacle { page.add("note: \(obstacle)", indent: 0) }
        Self.add(root, indent: "", isLast: true, to: &page)
        if !unpublished.isEmpty {
            page.add(line: "")
            page.add(line: "Reported by the driver, and not in the registry:")
            for item in unpublished {
                page.add(line: "  \"\(item.key)\" = \(item.value.text)")
                page.add(item.reason, indent: 4)
            }
        }
        return page.text
    }

    /// - Parameters:
    ///   - indent: in front of the object's line.
    ///   - isLast: the object is the last child of its parent; otherwise a bar leads to the next child.
    private static func add(_ node: RegistryNode, indent: String, isLast: Bool, to page: inout TextPage) {
        let below = indent + (isLast ? "  " : "| ")
        let bar = below + (node.children.isEmpty ? " " : "|")
        page.add(line: "\(indent)+-o \(node.title)")
        page.add(line: "\(bar) {")
        for key in node.properties.keys.sorted() {
            page.add(line: "\(bar)   \"\(key)\" = \(node.properties[key]!.text)")
        }
        page.add(line: "\(bar) }")
        if !node.children.isEmpty { page.add(line: bar) }
        for (index, child) in node.children.enumerated() {
            add(child, indent: below, isLast: index == node.children.count - 1, to: &page)
        }
    }
}

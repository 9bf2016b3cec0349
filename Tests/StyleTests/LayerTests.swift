import Foundation
import Testing

/// Package.swift has the one list of targets. (It refuses a target that uses one below itself.)
@Suite("Layers")
struct LayerTests {
    private let layers: [Manifest.Layer]

    init() throws { layers = try Manifest().layers }

    /// Bytes and values in, bytes and values out: no system, no clock, no thread.
    private static let pure: Set = [
        "MemberIO", "MDFormat", "RAID", "SCSI", "NBDProtocol", "CRAIDCard", "RAIDControllerInterface",
        "InterfaceGenerator",
    ]

    @Test("every folder of the sources is a target of the list")
    func folders() {
        #expect(layers.count > 30)
        #expect(Set(Project.sources.map(\.target)) == Set(layers.filter(\.isSwift).map(\.name)))
        for source in Project.sources {
            let group = source.path.split(separator: "/")[1]
            #expect(layers.contains { $0.group == group && $0.name == source.target }, "\(source.path)")
        }
    }

    @Test("a target imports whatever it says that it uses")
    func edges() {
        for layer in layers where layer.isSwift {
            let imported = Set(Project.sources.filter { $0.target == layer.name }.flatMap(\.imports))
            let unused = Set(layer.uses).subtracting(imported)
            #expect(unused.isEmpty, "\(layer.name) does not use \(unused.sorted())")
        }
    }

    @Test("so do tests")
    func testEdges() throws {
        let text = try Project.text("Package.swift").components(separatedBy: "// MARK: The tests")[1]
        let imported = Dictionary(grouping: Project.tests, by: \.target).mapValues { Set($0.flatMap(\.imports)) }
        var count = 0
        for match in text.matches(of: /(test|support)\(\s*"(\w+)"([^)]*)\)/) {
            count += 1
            let target = "\(match.2)" + (match.1 == "test" ? "Tests" : "")
            let uses = "\(match.3)".components(separatedBy: "exclude:")[0].matches(of: /"([\w-]+)"/).map { "\($0.1)" }
            let unused = uses.filter { !$0.hasPrefix("nbdext-") && !(imported[target] ?? []).contains($0) }
            #expect(unused.isEmpty, "\(target) does not use \(unused)")
        }
        #expect(count > 25)
    }

    @Test("the package depends on nothing that is not imported")
    func packages() throws {
        let products = try Project.text("Package.swift").matches(of: /\.product\(name: "(\w+)"/).map { "\($0.1)" }
        let packages = try Project.text("Package.swift").matches(of: /\.package\(url:/).count
        #expect(products.count == packages)
        for product in products { #expect(Project.sources.contains { $0.imports.contains(product) }, "\(product)") }
    }

    @Test("ARCHITECTURE has every target, from the top down")
    func architecture() throws {
        let page = try Project.text("Docs/ARCHITECTURE.md").components(separatedBy: "\n## ")[1]
        let rows = page.matches(of: /\n\| (\*\*(\w+)\*\*)? *\| `([\w-]+)`/)
        var group = ""
        let named = rows.map { row in
            if let name = row.2 { group = "\(name)" }
            return "\(group)/\(row.3)"
        }
        #expect(named == layers.reversed().map { "\($0.group)/\($0.name)" })
    }

    @Test("pure targets know no system")
    func pureTargets() {
        for source in Project.sources where Self.pure.contains(source.target) {
            for name in source.imports { #expect(Self.pure.contains(name), "\(source.path) imports \(name)") }
        }
    }

    /// Read and write JSON and property lists, away from the way of a request.
    private static let mayUseFoundation: Set = ["HBAProfiles", "Control", "DextBundle"]

    @Test("nothing that is served imports Foundation")
    func noFoundation() {
        for source in Project.sources {
            let allowed = Self.mayUseFoundation.contains(source.target) ? ["FoundationEssentials"] : []
            #expect(
                !source.imports.contains {
                    ($0.hasPrefix("Foundation") || $0 == "Dispatch") && !allowed.contains($0)
                }, "\(source.path)")
        }
    }

    @Test("the reference driver uses the driver kit and its card's data sheet, nothing else")
    func driverImports() {
        let allowed: Set = ["SCSIControllerDriverKit", "RAIDControllerInterface", "Synchronization"]
        for source in Project.sources where source.target == "RAIDDriver" {
            #expect(Set(source.imports).isSubset(of: allowed), "\(source.path)")
        }
    }
}

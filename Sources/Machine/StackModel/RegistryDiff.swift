/// What differs between two trees: objects, and properties of objects.
package struct RegistryDiff: Codable, Equatable, Sendable {
    /// One property that differs; a side without it is nil.
    package struct Property: Codable, Equatable, Sendable {
        /// The property's key.
        package var key: String
        /// The value in the left tree.
        package var left: RegistryValue?
        /// The value in the right tree.
        package var right: RegistryValue?
    }

    /// An object that differs: in its class, or in its properties.
    package struct Node: Codable, Equatable, Sendable {
        /// The object's line in the left tree: "RAIDDriver  <class IOUserSCSIParallelInterfaceController>".
        package var left: String
        /// The object's line in the right tree.
        package var right: String
        /// The properties that differ, by key.
        package var properties: [Property]
    }

    /// The left profile's name.
    package var left: String
    /// The right profile's name.
    package var right: String
    /// The objects that differ, from the controller up the stack.
    package var nodes: [Node]

    /// The differences for people: "-" is the left tree, "+" the right one.
    package var text: String {
        var page = TextPage()
        page.add(line: "--- \(left)")
        page.add(line: "+++ \(right)")
        if nodes.isEmpty { page.add(line: "no difference") }
        for node in nodes {
            if node.left == node.right {
                page.add(line: "  +-o \(node.left)")
            } else {
                page.add(line: "- +-o \(node.left)")
                page.add(line: "+ +-o \(node.right)")
            }
            for property in node.properties {
                if let value = property.left { page.add(line: "-       \"\(property.key)\" = \(value.text)") }
                if let value = property.right { page.add(line: "+       \"\(property.key)\" = \(value.text)") }
            }
        }
        return page.text
    }
}

extension RegistryTree {
    /// Compares this tree, the left one, with another. Objects are matched by their place in the stack.
    package func diff(_ other: RegistryTree) -> RegistryDiff {
        var nodes: [RegistryDiff.Node] = []
        for (left, right) in zip(Self.chain(from: root), Self.chain(from: other.root)) {
            let keys = Set(left.properties.keys).union(right.properties.keys).sorted()
            let properties = keys.filter { left.properties[$0] != right.properties[$0] }.map {
                RegistryDiff.Property(key: $0, left: left.properties[$0], right: right.properties[$0])
            }
            if left.title != right.title || !properties.isEmpty {
                nodes.append(RegistryDiff.Node(left: left.title, right: right.title, properties: properties))
            }
        }
        return RegistryDiff(left: profile, right: other.profile, nodes: nodes)
    }

    /// The objects from the controller up the stack, through the first logical unit; the other units are like it.
    package static func chain(from root: RegistryNode) -> [RegistryNode] {
        [root] + (root.children.first.map(chain) ?? [])
    }
}

// Holds bodies against schemas with networknt's json-schema-validator.
// scripts/validators.py says what it reads and writes.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import java.util.HashMap;
import java.util.Map;

class Networknt {
    public static void main(String[] arguments) throws Exception {
        var mapper = new ObjectMapper();
        var work = mapper.readTree(System.in);
        var factory = JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012);
        Map<String, JsonSchema> compiled = new HashMap<>();
        ObjectNode result = mapper.createObjectNode();
        ObjectNode errors = result.putObject("errors");
        ArrayNode verdicts = result.putArray("verdicts");
        for (var each : work.get("schemas").properties()) {
            try {
                var schema = factory.getSchema(mapper.readTree(each.getValue().asText()));
                schema.initializeValidators();
                compiled.put(each.getKey(), schema);
            } catch (RuntimeException error) {
                errors.put(each.getKey(), error.getMessage());
            }
        }
        for (JsonNode each : work.get("bodies")) {
            var schema = compiled.get(each.get("schema").asText());
            if (schema == null) {
                verdicts.addNull();
            } else {
                verdicts.add(schema.validate(mapper.readTree(each.get("body").asText())).isEmpty());
            }
        }
        System.out.println(mapper.writeValueAsString(result));
    }
}

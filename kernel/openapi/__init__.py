"""What the OpenAPI document says about operations of all apps."""

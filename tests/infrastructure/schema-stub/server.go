package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// provider answers Terraform's protocol 6 from the schema; what it does not override it does not offer.
type provider struct {
	tfprotov6.ProviderServer
	schema schemaFile
	// What the provider is configured with; resources that ask no other one are there.
	region tftypes.Value
}

func (p *provider) block(typeName string) (block, tftypes.Type, error) {
	resource, ok := p.schema.Resources[typeName]
	if !ok {
		return block{}, nil, fmt.Errorf("no resource %s in the stub's schema: add it to schemas/resources.json", typeName)
	}
	return resource.Block, resource.protocol().ValueType(), nil
}

func (p *provider) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	return nil, fmt.Errorf("not offered: Terraform asks for the schema instead")
}

func (p *provider) GetProviderSchema(
	context.Context, *tfprotov6.GetProviderSchemaRequest,
) (*tfprotov6.GetProviderSchemaResponse, error) {
	out := &tfprotov6.GetProviderSchemaResponse{
		Provider: p.schema.Provider.protocol(), ResourceSchemas: map[string]*tfprotov6.Schema{},
	}
	for name, resource := range p.schema.Resources {
		out.ResourceSchemas[name] = resource.protocol()
	}
	return out, nil
}

func (p *provider) GetResourceIdentitySchemas(
	context.Context, *tfprotov6.GetResourceIdentitySchemasRequest,
) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

func (p *provider) ValidateProviderConfig(
	_ context.Context, request *tfprotov6.ValidateProviderConfigRequest,
) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: request.Config}, nil
}

func (p *provider) ConfigureProvider(
	_ context.Context, request *tfprotov6.ConfigureProviderRequest,
) (*tfprotov6.ConfigureProviderResponse, error) {
	config, err := request.Config.Unmarshal(p.schema.Provider.protocol().ValueType())
	if err != nil {
		return nil, err
	}
	p.region = fieldsOf(config)["region"]
	return &tfprotov6.ConfigureProviderResponse{}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceConfig(
	_ context.Context, request *tfprotov6.ValidateResourceConfigRequest,
) (*tfprotov6.ValidateResourceConfigResponse, error) {
	block, as, err := p.block(request.TypeName)
	if err != nil {
		return nil, err
	}
	config, err := request.Config.Unmarshal(as)
	if err != nil {
		return nil, err
	}
	return &tfprotov6.ValidateResourceConfigResponse{Diagnostics: block.checkValues(config, tftypes.NewAttributePath())}, nil
}

func (p *provider) UpgradeResourceState(
	_ context.Context, request *tfprotov6.UpgradeResourceStateRequest,
) (*tfprotov6.UpgradeResourceStateResponse, error) {
	_, as, err := p.block(request.TypeName)
	if err != nil {
		return nil, err
	}
	state, err := request.RawState.Unmarshal(as)
	if err != nil {
		return nil, err
	}
	value, err := tfprotov6.NewDynamicValue(as, state)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &value}, err
}

func (p *provider) ReadResource(
	_ context.Context, request *tfprotov6.ReadResourceRequest,
) (*tfprotov6.ReadResourceResponse, error) {
	return &tfprotov6.ReadResourceResponse{NewState: request.CurrentState}, nil
}

func (p *provider) PlanResourceChange(
	_ context.Context, request *tfprotov6.PlanResourceChangeRequest,
) (*tfprotov6.PlanResourceChangeResponse, error) {
	block, as, err := p.block(request.TypeName)
	if err != nil {
		return nil, err
	}
	proposed, err := request.ProposedNewState.Unmarshal(as)
	if err != nil {
		return nil, err
	}
	prior, err := request.PriorState.Unmarshal(as)
	if err != nil {
		return nil, err
	}
	planned := block.planned(proposed, prior.IsNull())
	value, err := tfprotov6.NewDynamicValue(as, planned)
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: &value, RequiresReplace: block.replaced(prior, planned)}, err
}

func (p *provider) ApplyResourceChange(
	_ context.Context, request *tfprotov6.ApplyResourceChangeRequest,
) (*tfprotov6.ApplyResourceChangeResponse, error) {
	_, as, err := p.block(request.TypeName)
	if err != nil {
		return nil, err
	}
	planned, err := request.PlannedState.Unmarshal(as)
	if err != nil {
		return nil, err
	}
	seed := request.TypeName + planned.String()
	if fields := fieldsOf(planned); fields != nil && !fields["region"].IsKnown() && p.region.IsKnown() && !p.region.IsNull() {
		fields["region"] = p.region
		planned = tftypes.NewValue(planned.Type(), fields)
	}
	value, err := tfprotov6.NewDynamicValue(as, settled(planned, seed))
	return &tfprotov6.ApplyResourceChangeResponse{NewState: &value}, err
}

func (p *provider) GetFunctions(context.Context, *tfprotov6.GetFunctionsRequest) (*tfprotov6.GetFunctionsResponse, error) {
	return &tfprotov6.GetFunctionsResponse{}, nil
}
